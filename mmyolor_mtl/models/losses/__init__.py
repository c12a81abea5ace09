from .ciou import CompleteIoULoss, complete_iou
from .mask import PrototypeMaskLoss, inside_boxes
from .semantic import IndexDiceLoss, IndexFocalLoss

__all__ = ['CompleteIoULoss', 'IndexDiceLoss', 'IndexFocalLoss', 'PrototypeMaskLoss', 'complete_iou', 'inside_boxes']
