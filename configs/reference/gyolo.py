# The reference's gyolo: all four tasks, 52,601,178 parameters while training.
_base_ = [
    '../_base_/datasets/coco_mtl.py',
    '../_base_/models/gyolo_det-ins-sem-cap.py',
    '../_base_/default_runtime.py',
]
