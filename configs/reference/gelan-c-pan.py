# The reference's gelan-c-pan: boxes, masks and the semantic map, 27,793,549 parameters.
_base_ = [
    '../_base_/datasets/coco_mtl.py',
    '../_base_/models/gelan-mtl_c.py',
    '../_base_/default_runtime.py',
]

val_evaluator = _base_.val_evaluator[:3]  # boxes and masks, semantic, panoptic
test_evaluator = val_evaluator
