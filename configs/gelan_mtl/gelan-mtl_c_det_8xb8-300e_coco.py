# Trains gelan-c of the reference: boxes.
_base_ = ['../reference/gelan-c.py', '../_base_/schedules/adamw_flat-cos_300e.py']

close_mosaic_epochs = 10

# No head reads captions: the pipelines leave the weak view out.
train_pipeline = [
    *_base_.load_labels,
    *_base_.mosaic_and_affine,
    dict(type='mmyolor_mtl.MTLMixUp', prob=0.15, pre_transform=[*_base_.load_labels, *_base_.mosaic_and_affine]),
    *_base_.colour_and_flip,
]
close_mosaic_pipeline = [
    step
    for step in _base_.close_mosaic_pipeline
    if step['type'] not in ('mmyolor_mtl.CaptionView', 'mmyolor_mtl.TokenizeCaption')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=_base_.max_epochs - close_mosaic_epochs,
        switch_pipeline=close_mosaic_pipeline,
    )
]
