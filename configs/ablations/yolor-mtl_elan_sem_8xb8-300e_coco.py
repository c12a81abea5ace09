# The semantic map alone, with the trunk and the schedule of all four tasks.
_base_ = '../yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'

model = dict(heads=dict(_delete_=True, sem=_base_.model.heads.sem), test_cfg=dict(_delete_=True))
val_evaluator = _base_.val_evaluator[1:2]
test_evaluator = val_evaluator
# No head reads captions: the pipelines leave the weak view out.
captions = ('mmyolor_mtl.CaptionView', 'mmyolor_mtl.TokenizeCaption')
train_pipeline = [step for step in _base_.train_pipeline if step['type'] not in captions]
close_mosaic_pipeline = [step for step in _base_.close_mosaic_pipeline if step['type'] not in captions]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=_base_.max_epochs - _base_.close_mosaic_epochs,
        switch_pipeline=close_mosaic_pipeline,
    )
]
