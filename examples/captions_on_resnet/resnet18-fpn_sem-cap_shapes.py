# Two tasks, a semantic map and a sentence, on MMDetection's ResNet and FPN. Nothing is imported: `type` says where a
# class comes from.
_base_ = ['mmdet::_base_/default_runtime.py']

# ---------------------------------------------------------------- what people change
data_root = 'data/shapes64/'
img_scale = (64, 64)  # width, height
batch_size = 16
max_epochs = 24
num_classes = 26  # things and stuff
tokenizer = dict(type='mmyolor_mtl.WordTokenizer', vocab_file=data_root + 'annotations/vocab.txt')

# ---------------------------------------------------------------- model
model = dict(
    type='mmyolor_mtl.YOLORMTL',
    # What this ResNet learned on: set its init_cfg to dict(type='Pretrained', checkpoint='torchvision://resnet18').
    data_preprocessor=dict(
        type='mmyolor_mtl.YOLORMTLDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
    ),
    backbone=dict(type='mmdet.ResNet', depth=18, out_indices=(1, 2, 3)),
    neck=dict(type='mmdet.FPN', in_channels=[128, 256, 512], out_channels=128, num_outs=3),
    heads=dict(
        sem=dict(
            type='mmyolor_mtl.YOLORSemanticHead',
            num_classes=num_classes,
            in_channels=(128, 128, 128),
            hidden_channels=64,
            num_levels=3,
        ),
        cap=dict(
            type='mmyolor_mtl.CaptionHead',
            source='neck',
            in_channels=(128, 128, 128),
            embed_dims=128,
            num_layers=2,
            num_heads=4,
            feedforward_channels=256,
            mlp_channels=128,
            max_length=40,
            tokenizer=tokenizer,
            test_cfg=dict(beam_size=3, max_length=32),
        ),
    ),
)

# ---------------------------------------------------------------- data: ours, with mmdet's flip, distortion and resize
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmyolor_mtl.LoadMTLAnnotations', tasks=('sem', 'cap')),
    dict(type='mmyolor_mtl.CaptionView', scale=img_scale),
    dict(type='mmyolor_mtl.TokenizeCaption', tokenizer=tokenizer, max_length=40, captions_per_image=5),
    dict(type='mmdet.Resize', scale=img_scale, keep_ratio=False),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmyolor_mtl.PackMTLInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=img_scale, keep_ratio=True),
    dict(type='mmyolor_mtl.LoadMTLAnnotations', tasks=('sem', 'cap')),
    dict(type='mmyolor_mtl.PackMTLInputs'),
]
dataset = dict(type='mmyolor_mtl.ShapesDataset', data_root=data_root)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **dataset,
        ann_file='annotations/instances_train2017.json',
        caption_file='annotations/captions_train2017.json',
        data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
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
        caption_file='annotations/captions_val2017.json',
        data_prefix=dict(img='val2017/', seg='stuffthingmaps/val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='mmyolor_mtl.SemanticMetric'), dict(type='mmyolor_mtl.CaptionMetric')]
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
