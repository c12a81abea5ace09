# The reference's yolov7-af-seg: boxes and masks, 45,928,448 parameters.
_base_ = [
    '../_base_/datasets/coco_mtl.py',
    '../_base_/models/yolor-mtl_elan.py',
    '../_base_/default_runtime.py',
]

model = dict(
    heads=dict(_delete_=True, det={{_base_.model.heads.det}}, ins={{_base_.model.heads.ins}}),
    test_cfg=dict(_delete_=True),
)

val_evaluator = [
    dict(
        type='mmyolor_mtl.DetectionMetric',
        ann_file=_base_.data_root + 'annotations/instances_val2017.json',
        metric=['bbox', 'segm'],
    )
]
test_evaluator = val_evaluator
