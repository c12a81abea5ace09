"""Complete IoU as the reference computes it."""

import math

import torch
from torch import Tensor, nn

from ...registry import MODELS


def complete_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """CIoU of aligned boxes (REFERENCE_SPEC 3.1).

    mmdet's ``CIoULoss`` drops the aspect-ratio term where IoU <= 0.5; the reference keeps it everywhere, and its
    assignment uses the same value, so both are computed here.

    Args:
        boxes1: (..., 4) xyxy.
        boxes2: (..., 4) xyxy, broadcastable against ``boxes1``.
        eps: Keeps the divisions finite.

    Returns:
        (...) CIoU, at most 1; negative for boxes far apart.
    """
    x11, y11, x12, y12 = boxes1.unbind(-1)
    x21, y21, x22, y22 = boxes2.unbind(-1)
    w1, h1, w2, h2 = x12 - x11, y12 - y11 + eps, x22 - x21, y22 - y21 + eps
    overlap_w = (torch.minimum(x12, x22) - torch.maximum(x11, x21)).clamp(min=0)
    overlap_h = (torch.minimum(y12, y22) - torch.maximum(y11, y21)).clamp(min=0)
    overlap = overlap_w * overlap_h
    iou = overlap / (w1 * h1 + w2 * h2 - overlap + eps)
    enclose_w = torch.maximum(x12, x22) - torch.minimum(x11, x21)
    enclose_h = torch.maximum(y12, y22) - torch.minimum(y11, y21)
    diagonal = enclose_w**2 + enclose_h**2 + eps
    distance = ((x21 + x22 - x11 - x12) ** 2 + (y21 + y22 - y11 - y12) ** 2) / 4
    aspect = (4 / math.pi**2) * (torch.atan(w2 / h2) - torch.atan(w1 / h1)) ** 2
    with torch.no_grad():
        alpha = aspect / (aspect - iou + (1 + eps))
    return iou - distance / diagonal - aspect * alpha


@MODELS.register_module()
class CompleteIoULoss(nn.Module):
    """``1 - CIoU`` weighted per box and normalised by ``avg_factor`` (REFERENCE_SPEC 3.2, ``box``).

    Args:
        loss_weight: Gain of the term.

    Shapes:
        pred (P, 4), target (P, 4), weight (P,) -> scalar
    """

    def __init__(self, loss_weight: float = 7.5) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor, avg_factor: Tensor | float) -> Tensor:
        """Sum of the weighted losses over ``avg_factor``."""
        return self.loss_weight * ((1 - complete_iou(pred, target)) * weight).sum() / avg_factor
