# COCO with all four tasks: strong view (mosaic, affine, mixup, HSV, flip) for vision, weak view for captions.
dataset_type = 'mmyolor_mtl.COCOMultiTaskDataset'
data_root = 'data/coco/'
img_scale = (640, 640)  # width, height
batch_size = 8
num_workers = 4
tokenizer = dict(type='mmyolor_mtl.WordTokenizer', vocab_file=data_root + 'annotations/vocab.txt', vocab_size=30522)
max_caption_length = 52

load_labels = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='mmyolor_mtl.LoadMTLAnnotations'),
]
mosaic_and_affine = [
    dict(type='mmyolor_mtl.MTLMosaic', img_scale=img_scale, defer=True),  # drawn once, by the affine
    dict(type='mmyolor_mtl.MTLCopyPaste', prob=0.3),
    dict(
        type='mmyolor_mtl.MTLRandomAffine', img_scale=img_scale, scaling_ratio_range=(0.1, 1.9), max_translate_ratio=0.1
    ),
]
weak_view = [
    dict(type='mmyolor_mtl.CaptionView', scale=img_scale),
    dict(type='mmyolor_mtl.TokenizeCaption', tokenizer=tokenizer, max_length=max_caption_length),
]
colour_and_flip = [
    dict(type='mmyolor_mtl.RandomFilters', prob=0.01),  # blur, median, grey, contrast
    dict(type='mmyolor_mtl.HSVJitter', hue=0.015, saturation=0.7, value=0.4),
    dict(type='mmyolor_mtl.MTLRandomFlip', prob=0.5),
    dict(type='mmyolor_mtl.PackMTLInputs'),
]
train_pipeline = [
    *load_labels,
    *weak_view,
    *mosaic_and_affine,
    dict(type='mmyolor_mtl.MTLMixUp', prob=0.15, pre_transform=[*load_labels, *mosaic_and_affine]),
    *colour_and_flip,
]
# The last epochs see whole pictures again.
close_mosaic_pipeline = [
    *load_labels,
    *weak_view,
    dict(type='mmyolor_mtl.Letterbox', scale=img_scale, allow_scale_up=True),
    dict(
        type='mmyolor_mtl.MTLRandomAffine', img_scale=img_scale, scaling_ratio_range=(0.1, 1.9), max_translate_ratio=0.1
    ),
    *colour_and_flip,
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
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='mmyolor_mtl.MTLSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        caption_file='annotations/captions_train2017.json',
        data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        caption_file='annotations/captions_val2017.json',
        data_prefix=dict(img='val2017/', seg='stuffthingmaps/val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type='mmyolor_mtl.DetectionMetric',
        ann_file=data_root + 'annotations/instances_val2017.json',
        metric=['bbox', 'segm'],
    ),
    dict(type='mmyolor_mtl.SemanticMetric'),
    dict(
        type='mmyolor_mtl.PanopticMetric',
        ann_file=data_root + 'annotations/panoptic_val2017.json',
        seg_prefix=data_root + 'annotations/panoptic_val2017/',
    ),
    dict(type='mmyolor_mtl.CaptionMetric'),
]
test_evaluator = val_evaluator
