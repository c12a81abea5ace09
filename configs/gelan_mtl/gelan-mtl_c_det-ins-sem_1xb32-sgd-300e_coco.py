# gelan-c-pan by the reference's released recipe: SGD, one GPU, 32 images an iteration and 64 a step.
_base_ = ['../reference/gelan-c-pan.py', '../_base_/schedules/sgd_linear_300e.py']

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
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=_base_.max_epochs - close_mosaic_epochs,
        switch_pipeline=close_mosaic_pipeline,
    ),
    *_base_.custom_hooks,
]
