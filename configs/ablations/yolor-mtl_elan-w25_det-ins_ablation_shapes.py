# Boxes and masks (a mask needs its box), with the trunk and the schedule of all four tasks.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

model = dict(
    heads=dict(_delete_=True, det=_base_.model.heads.det, ins=_base_.model.heads.ins), test_cfg=dict(_delete_=True)
)
train_dataloader = dict(dataset=dict(pipeline=_base_.vision_pipeline))
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=_base_.max_epochs - _base_.close_mosaic_epochs,
        switch_pipeline=_base_.vision_close_mosaic_pipeline,
    )
]
val_evaluator = _base_.val_evaluator[:1]
test_evaluator = val_evaluator
