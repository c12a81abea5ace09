"""What MMDetection and MMSegmentation do not have, or not at this price."""

from .ciou import CompleteIoULoss, complete_iou
from .mask import PrototypeMaskLoss, inside_boxes
from .self_critical import SelfCriticalLoss
from .semantic import IndexCrossEntropyLoss, IndexDiceLoss, IndexFocalLoss

__all__ = [
    'CompleteIoULoss',
    'IndexCrossEntropyLoss',
    'IndexDiceLoss',
    'IndexFocalLoss',
    'PrototypeMaskLoss',
    'SelfCriticalLoss',
    'complete_iou',
    'inside_boxes',
]
