# A pair: boxes with masks, and the semantic map.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

model = dict(
    heads=dict(_delete_=True, det=_base_.model.heads.det, ins=_base_.model.heads.ins, sem=_base_.model.heads.sem)
)
train_dataloader = dict(dataset=dict(pipeline=_base_.vision_pipeline))
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=_base_.max_epochs - _base_.close_mosaic_epochs,
        switch_pipeline=_base_.vision_close_mosaic_pipeline,
    )
]
val_evaluator = _base_.val_evaluator[:3]
test_evaluator = val_evaluator
