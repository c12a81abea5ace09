# Data of your own with boxes and masks alone: the other config of this folder (or your copy of it), less two heads.
_base_ = './yolor-mtl_elan-w50_det-ins-sem-cap_1xb8-100e_custom.py'

# For semantic maps keep the head 'sem', test_cfg, data_prefix and two metrics; for captions the head 'cap',
# caption_file, the steps of the weak view and one metric.
model = dict(
    heads=dict(_delete_=True, det={{_base_.model.heads.det}}, ins={{_base_.model.heads.ins}}),
    test_cfg=dict(_delete_=True),
)
train_pipeline = [
    *_base_.load_labels,
    *_base_.mosaic_and_affine,
    dict(type='mmyolor_mtl.MTLMixUp', prob=0.15, pre_transform=[*_base_.load_labels, *_base_.mosaic_and_affine]),
    *_base_.colour_and_flip,
]
close_mosaic_pipeline = [
    *_base_.load_labels,
    dict(type='mmyolor_mtl.Letterbox', scale=_base_.img_scale, allow_scale_up=True),
    *_base_.colour_and_flip,
]
train_dataloader = dict(
    dataset=dict(caption_file='', data_prefix=dict(_delete_=True, img='images/'), pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(caption_file='', data_prefix=dict(_delete_=True, img='images/')))
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type='mmyolor_mtl.DetectionMetric',
        ann_file=_base_.data_root + 'annotations/instances_val.json',
        metric=['bbox', 'segm'],
    )
]
test_evaluator = val_evaluator
custom_hooks = [
    dict(
        type='PipelineSwitchHook',
        switch_epoch=_base_.max_epochs - _base_.close_mosaic_epochs,
        switch_pipeline=close_mosaic_pipeline,
    )
]
