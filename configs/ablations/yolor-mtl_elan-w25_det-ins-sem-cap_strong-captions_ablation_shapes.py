# Captions learn from what vision sees: the view is taken after mosaic, affine, mixup, colours and flip.
_base_ = './yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'

*strong, pack = _base_.colour_and_flip
train_pipeline = [
    *_base_.load_labels,
    *_base_.mosaic_and_affine,
    _base_.mixup,
    *strong,
    *_base_.weak_view,
    pack,
]
close_mosaic_pipeline = [*_base_.load_labels, _base_.letterbox, _base_.affine, *strong, *_base_.weak_view, pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=_base_.max_epochs - _base_.close_mosaic_epochs,
        switch_pipeline=close_mosaic_pipeline,
    )
]
