# MMSegmentation's EncoderDecoder and FPNHead on GELAN's backbone and neck. Nothing is imported: `type` says where a
# class comes from.
default_scope = 'mmseg'

# ---------------------------------------------------------------- what people change
data_root = 'data/shapes64/'
img_scale = (64, 64)  # width, height
batch_size = 16
max_epochs = 24
# In the order of the ids in the semantic maps: things, then stuff.
classes = (
    *('ball', 'box', 'star', 'heart', 'ring', 'house', 'tree', 'car'),
    *('boat', 'fish', 'balloon', 'kite', 'mushroom', 'mug'),
    *('grass', 'sand', 'water', 'snow', 'road', 'wood'),
    *('clear-sky', 'cloudy-sky', 'sunset-sky', 'night-sky', 'brick-wall', 'mountain'),
)

# ---------------------------------------------------------------- model
model = dict(
    type='EncoderDecoder',
    # The trunk takes RGB in [0, 1].
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[0.0, 0.0, 0.0],
        std=[255.0, 255.0, 255.0],
        bgr_to_rgb=True,
        size=img_scale[::-1],
        seg_pad_val=255,
    ),
    backbone=dict(type='mmyolor_mtl.GELANBackbone', widen_factor=0.25),
    neck=dict(type='mmyolor_mtl.GELANPAFPN', in_channels=(128, 128, 128), widen_factor=0.25),
    decode_head=dict(
        type='FPNHead',
        in_channels=[64, 128, 128],
        in_index=[0, 1, 2],
        feature_strides=[8, 16, 32],
        channels=64,
        num_classes=len(classes),
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False),
    ),
    test_cfg=dict(mode='whole'),
)

# ---------------------------------------------------------------- data: mmseg's, with two transforms of ours
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='mmyolor_mtl.MTLRandomAffine', img_scale=img_scale, scaling_ratio_range=(0.7, 1.4)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmyolor_mtl.HSVJitter', saturation=0.4),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
dataset = dict(type='BaseSegDataset', data_root=data_root, metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **dataset,
        data_prefix=dict(img_path='train2017', seg_map_path='stuffthingmaps/train2017'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        data_prefix=dict(img_path='val2017', seg_map_path='stuffthingmaps/val2017'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='mmyolor_mtl.SemanticMetric'), dict(type='IoUMetric')]
test_evaluator = val_evaluator

# ---------------------------------------------------------------- schedule
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.002, weight_decay=0.01))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=max_epochs, eta_min_ratio=0.05, by_epoch=True, convert_to_iter_based=True)
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1), checkpoint=dict(type='CheckpointHook', interval=max_epochs)
)
visualizer = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
log_processor = dict(by_epoch=True)
