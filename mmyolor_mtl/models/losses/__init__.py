from .ciou import CompleteIoULoss, complete_iou
from .mask import PrototypeMaskLoss, inside_boxes
from .semantic import IndexCrossEntropyLoss, IndexDiceLoss, IndexFocalLoss

__all__ = [
    'CompleteIoULoss',
    'IndexCrossEntropyLoss',
    'IndexDiceLoss',
    'IndexFocalLoss',
    'PrototypeMaskLoss',
    'complete_iou',
    'inside_boxes',
]
