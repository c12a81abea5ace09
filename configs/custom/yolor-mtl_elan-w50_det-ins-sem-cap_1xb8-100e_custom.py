# Data of your own, all four tasks: copy this file and edit its first block (docs/user_guides/custom_data.md).
_base_ = [
    '../_base_/datasets/coco_mtl.py',
    '../_base_/models/yolor-mtl_elan.py',
    '../_base_/schedules/adamw_flat-cos_300e.py',
    '../_base_/default_runtime.py',
]

# ---------------------------------------------------------------- what people change
# '{{$NAME:value}}' takes the environment variable NAME where it is set, for a quick trial; plain values will do.
data_root = '{{$CUSTOM_DATA:data/custom}}/'
metainfo = dict(  # the converters write it: metainfo.py
    classes=('car', 'dog', 'person'),
    palette=[(220, 20, 60), (0, 0, 142), (250, 170, 30)],
    thing_ids=(1, 2, 3),
    stuff_classes=('road', 'sky'),
    stuff_palette=[(128, 64, 128), (70, 130, 180)],
    stuff_ids=(4, 5),
    extra_classes=(),
    panoptic_stuff={},
)
img_scale = (int('{{$CUSTOM_SIZE:640}}'), int('{{$CUSTOM_SIZE:640}}'))  # width, height; multiples of 32
batch_size = int('{{$CUSTOM_BATCH:8}}')
max_epochs = int('{{$CUSTOM_EPOCHS:100}}')
widen_factor = float('{{$CUSTOM_WIDTH:0.5}}')  # of backbone and neck; 1.0 is the paper's network
close_mosaic_epochs = max(max_epochs // 10, 1)
num_workers = 2
base_lr = 0.001
max_caption_length = 40  # words of a sentence, start and end included

# ---------------------------------------------------------------- model
num_things = len(metainfo['classes'])
num_evaluated = num_things + len(metainfo['stuff_classes'])
backbone_channels = [int(512 * widen_factor), int(1024 * widen_factor), int(1024 * widen_factor)]
neck_channels = [int(256 * widen_factor), int(512 * widen_factor), int(1024 * widen_factor)]
tokenizer = dict(type='mmyolor_mtl.WordTokenizer', vocab_file=data_root + 'annotations/vocab.txt')
model = dict(
    backbone=dict(widen_factor=widen_factor),
    neck=dict(in_channels=backbone_channels, widen_factor=widen_factor),
    heads=dict(
        det=dict(num_classes=num_things, in_channels=neck_channels),
        ins=dict(in_channels=neck_channels, proto_channels=128),
        # Balanced by class: the paper's terms need its 300 epochs of COCO (docs/user_guides/training.md).
        sem=dict(
            num_classes=num_evaluated + len(metainfo['extra_classes']),
            in_channels=neck_channels,
            hidden_channels=64,
            num_levels=3,
            loss_pixel=dict(_delete_=True, type='mmyolor_mtl.IndexCrossEntropyLoss', balance=0.5, loss_weight=2.0),
            loss_dice=dict(per_class=True, loss_weight=2.0),
        ),
        cap=dict(
            in_channels=backbone_channels,
            num_layers=3,
            feedforward_channels=1024,
            max_length=max_caption_length,
            vocab_size=None,  # as many words as the vocabulary has
            tokenizer=tokenizer,
        ),
    ),
    test_cfg=dict(panoptic=dict(num_things=num_things, num_evaluated=num_evaluated)),
)

# ---------------------------------------------------------------- data
load_labels = _base_.load_labels
mosaic_and_affine = [
    dict(type='mmyolor_mtl.MTLMosaic', img_scale=img_scale, prob=1.0),
    dict(
        type='mmyolor_mtl.MTLRandomAffine', img_scale=img_scale, scaling_ratio_range=(0.5, 1.5), max_translate_ratio=0.1
    ),
]
weak_view = [
    dict(type='mmyolor_mtl.CaptionView', scale=img_scale),
    dict(type='mmyolor_mtl.TokenizeCaption', tokenizer=tokenizer, max_length=max_caption_length),
]
train_pipeline = [
    *load_labels,
    *weak_view,
    *mosaic_and_affine,
    dict(type='mmyolor_mtl.MTLMixUp', prob=0.15, pre_transform=[*load_labels, *mosaic_and_affine]),
    *_base_.colour_and_flip,
]
close_mosaic_pipeline = [
    *load_labels,
    *weak_view,
    dict(type='mmyolor_mtl.Letterbox', scale=img_scale, allow_scale_up=True),
    *_base_.colour_and_flip,
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='mmyolor_mtl.Letterbox', scale=img_scale),
    dict(type='mmyolor_mtl.LoadMTLAnnotations'),
    dict(type='mmyolor_mtl.PackMTLInputs'),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_train.json',
        caption_file='annotations/captions_train.json',
        data_prefix=dict(img='images/', seg='stuffthingmaps/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_val.json',
        caption_file='annotations/captions_val.json',
        data_prefix=dict(img='images/', seg='stuffthingmaps/'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type='mmyolor_mtl.DetectionMetric',
        ann_file=data_root + 'annotations/instances_val.json',
        metric=['bbox', 'segm'],
    ),
    dict(type='mmyolor_mtl.SemanticMetric'),
    dict(type='mmyolor_mtl.PanopticMetric'),  # segments are put together from masks and semantic maps
    dict(type='mmyolor_mtl.CaptionMetric'),
]
test_evaluator = val_evaluator

# ---------------------------------------------------------------- schedule
train_cfg = dict(max_epochs=max_epochs, val_interval=max(max_epochs // 10, 1))
optim_wrapper = dict(optimizer=dict(lr=base_lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.02,
        begin=max_epochs // 2,
        T_max=max_epochs - max_epochs // 2,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(logger=dict(interval=20), ema=dict(momentum=0.002, gamma=500), checkpoint=dict(max_keep_ckpts=1))
custom_hooks = [
    dict(
        type='PipelineSwitchHook', switch_epoch=max_epochs - close_mosaic_epochs, switch_pipeline=close_mosaic_pipeline
    )
]
