# The reference's yolov7-af-pan: boxes, masks and the semantic map, 46,087,277 parameters.
_base_ = [
    '../_base_/datasets/coco_mtl.py',
    '../_base_/models/yolor-mtl_elan.py',
    '../_base_/default_runtime.py',
]

model = dict(
    heads=dict(
        _delete_=True,
        det={{_base_.model.heads.det}},
        ins={{_base_.model.heads.ins}},
        sem=dict(
            type='mmyolor_mtl.YOLORSemanticHead',
            num_classes=_base_.num_things + _base_.num_stuff + _base_.num_extra,
            in_channels=(256, 512, 1024),
            hidden_channels=64,
            align_corners=True,
        ),
    ),
)

val_evaluator = _base_.val_evaluator[:3]  # boxes and masks, semantic, panoptic
test_evaluator = val_evaluator
