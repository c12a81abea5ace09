# The reference's gelan-c: boxes, with branches grouped by side, 25,498,752 parameters.
_base_ = [
    '../_base_/datasets/coco_mtl.py',
    '../_base_/models/gelan-mtl_c.py',
    '../_base_/default_runtime.py',
]

model = dict(
    heads=dict(
        _delete_=True,
        det=dict(
            type='mmyolor_mtl.YOLORDetectionHead',
            num_classes=_base_.num_things,
            in_channels=(256, 512, 512),
            box_groups=4,
        ),
    ),
    test_cfg=dict(_delete_=True),
)

val_evaluator = [
    dict(
        type='mmyolor_mtl.DetectionMetric',
        ann_file=_base_.data_root + 'annotations/instances_val2017.json',
        metric=['bbox'],
    )
]
test_evaluator = val_evaluator
