# MMDetection's RetinaNet on the trunk of YOLOR-MTL. Nothing is imported: `type` says where a class comes from.
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', 'mmdet::_base_/default_runtime.py']

# ---------------------------------------------------------------- what people change
data_root = 'data/shapes64/'
img_scale = (64, 64)  # width, height
batch_size = 16
max_epochs = 24
classes = (
    *('ball', 'box', 'star', 'heart', 'ring', 'house', 'tree', 'car'),
    *('boat', 'fish', 'balloon', 'kite', 'mushroom', 'mug'),
)

# ---------------------------------------------------------------- model
model = dict(
    # The trunk takes RGB in [0, 1].
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0]),
    backbone=dict(_delete_=True, type='mmyolor_mtl.ELANBackbone', widen_factor=0.25),
    # A dense head of mmdet wants levels of one width: 512 at full width, 128 here.
    neck=dict(
        _delete_=True,
        type='mmyolor_mtl.ELANPAFPN',
        in_channels=(128, 256, 256),
        out_channels=(512, 512, 512),
        widen_factor=0.25,
    ),
    bbox_head=dict(
        num_classes=len(classes),
        in_channels=128,
        feat_channels=128,
        stacked_convs=2,
        anchor_generator=dict(strides=[8, 16, 32], octave_base_scale=2),
    ),
)

# ---------------------------------------------------------------- data: mmdet's, with two transforms of ours
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='mmyolor_mtl.MTLRandomAffine', img_scale=img_scale, scaling_ratio_range=(0.7, 1.4)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmyolor_mtl.HSVJitter', saturation=0.4),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
dataset = dict(type='CocoDataset', data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **dataset,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmyolor_mtl.DetectionMetric', ann_file=data_root + 'annotations/instances_val2017.json', metric='bbox'
)
test_evaluator = val_evaluator

# ---------------------------------------------------------------- schedule
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.001, weight_decay=0.01), clip_grad=dict(max_norm=10.0)
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=max_epochs, eta_min_ratio=0.05, by_epoch=True, convert_to_iter_based=True)
]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=max_epochs))
