# Captions learn from what vision sees: the view is taken after mosaic, affine, mixup, colours and flip.
_base_ = '../yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'

*strong, pack = _base_.colour_and_flip
load, view = _base_.load_labels, _base_.weak_view
mixup = dict(type='mmyolor_mtl.MTLMixUp', prob=0.15, pre_transform=[*load, *_base_.mosaic_and_affine])
# What stands between the view and the colours once the mosaic is closed: letterbox and affine.
whole = _base_.close_mosaic_pipeline[len(load) + len(view) : -len(_base_.colour_and_flip)]
train_dataloader = dict(dataset=dict(pipeline=[*load, *_base_.mosaic_and_affine, mixup, *strong, *view, pack]))
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=_base_.max_epochs - _base_.close_mosaic_epochs,
        switch_pipeline=[*load, *whole, *strong, *view, pack],
    )
]
