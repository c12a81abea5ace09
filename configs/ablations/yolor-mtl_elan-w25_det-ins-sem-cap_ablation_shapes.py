# All four tasks on Shapes, in the small setting that the ablations on Shapes start from: quarter width, pictures of
# 96 px, 300 steps, minutes on one thread. Each of the others changes one thing (see README.md).
_base_ = ['../shapes/yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py']

# ---------------------------------------------------------------- what people change
data_root = 'data/shapes_96px/'
img_scale = (96, 96)
batch_size = 8
max_epochs = 3
close_mosaic_epochs = 1

# ---------------------------------------------------------------- data
tokenizer = dict(type='mmyolor_mtl.WordTokenizer', vocab_file=data_root + 'annotations/vocab.txt')
load_labels = _base_.load_labels
affine = dict(
    type='mmyolor_mtl.MTLRandomAffine', img_scale=img_scale, scaling_ratio_range=(0.5, 1.5), max_translate_ratio=0.1
)
mosaic_and_affine = [dict(type='mmyolor_mtl.MTLMosaic', img_scale=img_scale, defer=True), affine]
mixup = dict(type='mmyolor_mtl.MTLMixUp', prob=0.05, pre_transform=[*load_labels, *mosaic_and_affine])
letterbox = dict(type='mmyolor_mtl.Letterbox', scale=img_scale, allow_scale_up=True)
# Every picture has its caption view: captions and vision see the same number of pictures.
weak_view = [
    dict(type='mmyolor_mtl.CaptionView', scale=img_scale),
    dict(
        type='mmyolor_mtl.TokenizeCaption',
        tokenizer=tokenizer,
        max_length=_base_.max_caption_length,
        captions_per_image=5,
    ),
]
colour_and_flip = _base_.colour_and_flip
train_pipeline = [*load_labels, *weak_view, *mosaic_and_affine, mixup, *colour_and_flip]
close_mosaic_pipeline = [*load_labels, *weak_view, letterbox, affine, *colour_and_flip]
# For the configs without a caption head.
vision_pipeline = [*load_labels, *mosaic_and_affine, mixup, *colour_and_flip]
vision_close_mosaic_pipeline = [*load_labels, letterbox, affine, *colour_and_flip]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='mmyolor_mtl.Letterbox', scale=img_scale),
    dict(type='mmyolor_mtl.LoadMTLAnnotations'),
    dict(type='mmyolor_mtl.PackMTLInputs'),
]
# One run is one process: several runs share the cores.
in_process = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=batch_size, **in_process, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(**in_process, dataset=dict(data_root=data_root, pipeline=test_pipeline))
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

# ---------------------------------------------------------------- model: the paper's single-scale semantic head
model = dict(
    heads=dict(
        sem=dict(hidden_channels=None, num_levels=1),
        cap=dict(tokenizer=tokenizer, test_cfg=dict(beam_size=1)),
    )
)

# ---------------------------------------------------------------- schedule
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.02,
        begin=1,
        T_max=max_epochs - 1,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(ema=dict(momentum=0.02, gamma=50))
custom_hooks = [
    dict(
        type='PipelineSwitchHook', switch_epoch=max_epochs - close_mosaic_epochs, switch_pipeline=close_mosaic_pipeline
    )
]
