# A quarter-width network on the 240 real images of mini_coco, which is laid out as COCO is: all four tasks, 80 things,
# 91 kinds of stuff. Differs from the COCO config in width, picture size, semantic terms, paths and schedule, and its
# trunk starts from drawn scenes. Before the first run:
#   make demo
#   python tools/misc/build_vocab.py $MINI_COCO/annotations/captions_train2017.json --out data/mini_coco/vocab.txt
# It is scored on the images it trained on: 204 pictures teach a network nothing about others, but a joint pipeline that
# cannot even learn these by heart is broken. To that end the later epochs show every picture as it is.
_base_ = [
    '../_base_/datasets/coco_mtl.py',
    '../_base_/models/yolor-mtl_elan.py',
    '../_base_/schedules/adamw_flat-cos_300e.py',
    '../_base_/default_runtime.py',
]

# ---------------------------------------------------------------- what people change
data_root = '{{$MINI_COCO:../shared/mini_coco}}/'
vocab_file = 'data/mini_coco/vocab.txt'
img_scale = (256, 256)
batch_size = 8
num_workers = 2
max_epochs = 90
close_mosaic_epochs = 78
base_lr = 0.001
widen_factor = 0.25
trunk_weights = 'work_dirs/demo/epoch_3.pth'

# ---------------------------------------------------------------- model
backbone_channels = (128, 256, 256)
neck_channels = (64, 128, 256)
tokenizer = dict(type='mmyolor_mtl.WordTokenizer', vocab_file=vocab_file)
model = dict(
    backbone=dict(
        widen_factor=widen_factor, init_cfg=dict(type='Pretrained', checkpoint=trunk_weights, prefix='backbone.')
    ),
    neck=dict(
        in_channels=backbone_channels,
        widen_factor=widen_factor,
        init_cfg=dict(type='Pretrained', checkpoint=trunk_weights, prefix='neck.'),
    ),
    heads=dict(
        det=dict(in_channels=neck_channels, test_cfg=dict(score_thr=0.01, max_per_img=100)),
        ins=dict(in_channels=neck_channels, proto_channels=64),
        # As for Shapes: an hour is too short for terms in which the few large classes outweigh all others.
        sem=dict(
            in_channels=neck_channels,
            hidden_channels=64,
            num_levels=3,
            loss_pixel=dict(_delete_=True, type='mmyolor_mtl.IndexCrossEntropyLoss', balance=0.5, loss_weight=2.0),
            loss_dice=dict(per_class=True, loss_weight=2.0),
        ),
        cap=dict(
            in_channels=backbone_channels,
            num_layers=3,
            dropout=0.0,
            feedforward_channels=1024,
            max_length=60,
            vocab_size=None,
            tokenizer=tokenizer,
            loss_weight=2.0,
        ),
    ),
)

# ---------------------------------------------------------------- data
load_labels = _base_.load_labels
affine = dict(
    type='mmyolor_mtl.MTLRandomAffine', img_scale=img_scale, scaling_ratio_range=(0.5, 1.5), max_translate_ratio=0.1
)
mosaic_and_affine = [dict(type='mmyolor_mtl.MTLMosaic', img_scale=img_scale, defer=True), affine]
# A second view costs a second pass of the backbone: two images in five get one, with all their sentences.
weak_view = [
    dict(
        type='RandomApply',
        prob=0.4,
        transforms=[
            dict(type='mmyolor_mtl.CaptionView', scale=img_scale),
            dict(
                type='mmyolor_mtl.TokenizeCaption',
                tokenizer=tokenizer,
                max_length=_base_.max_caption_length,
                captions_per_image=5,
            ),
        ],
    )
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
    dict(type='mmyolor_mtl.PackMTLInputs'),
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
    pin_memory=False,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
trained_images = dict(
    data_root=data_root,
    ann_file='annotations/instances_train2017.json',
    caption_file='annotations/captions_train2017.json',
    data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
    pipeline=test_pipeline,
)
val_dataloader = dict(batch_size=batch_size, num_workers=num_workers, dataset=trained_images)
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type='mmyolor_mtl.DetectionMetric',
        ann_file=data_root + 'annotations/instances_train2017.json',
        metric=['bbox', 'segm'],
    ),
    dict(type='mmyolor_mtl.SemanticMetric'),
    dict(
        type='mmyolor_mtl.PanopticMetric',
        ann_file=data_root + 'annotations/panoptic_train2017.json',
        seg_prefix=data_root + 'annotations/panoptic_train2017/',
    ),
    dict(type='mmyolor_mtl.CaptionMetric'),
]
test_evaluator = val_evaluator

# ---------------------------------------------------------------- schedule
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=base_lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
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
default_hooks = dict(
    logger=dict(interval=26), ema=dict(momentum=0.005, gamma=200), checkpoint=dict(interval=26, max_keep_ckpts=1)
)
custom_hooks = [
    dict(
        type='PipelineSwitchHook', switch_epoch=max_epochs - close_mosaic_epochs, switch_pipeline=close_mosaic_pipeline
    )
]
