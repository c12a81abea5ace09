"""Mask loss on linear combinations of prototypes (REFERENCE_SPEC 3.2, ``mask``)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MODELS


def inside_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Which pixels lie in which box: column >= x1 and < x2, row >= y1 and < y2.

    Args:
        boxes: (..., 4) xyxy in pixels of the grid.
        height: Rows of the grid.
        width: Columns of the grid.

    Returns:
        (..., height, width) bool.
    """
    columns = torch.arange(width, device=boxes.device, dtype=boxes.dtype)
    rows = torch.arange(height, device=boxes.device, dtype=boxes.dtype)[:, None]
    x1, y1, x2, y2 = boxes[..., None, None].unbind(-3)
    return (columns >= x1) & (columns < x2) & (rows >= y1) & (rows < y2)


@MODELS.register_module()
class PrototypeMaskLoss(nn.Module):
    """Binary cross-entropy inside the ground-truth box, normalised by the area of the box.

    For each positive anchor the mean over *all* pixels of the cropped cross-entropy is divided by the box area as a
    share of the image; the mean over the positives of an image is summed over images and divided by their number.

    Args:
        loss_weight: Gain of the term.
    """

    def __init__(self, loss_weight: float = 2.5) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, coefs: Tensor, protos: Tensor, masks: Tensor, boxes: Tensor, valid: Tensor) -> Tensor:
        """Loss of a batch of padded positives.

        Args:
            coefs: (B, P, M) coefficients of the positive anchors, padded to the largest number P of an image.
            protos: (B, M, h, w) prototypes.
            masks: (B, P, h, w) 0/1 masks of the ground truth of each positive.
            boxes: (B, P, 4) its box, xyxy in pixels of the (h, w) grid.
            valid: (B, P) which entries are not padding.

        Returns:
            Scalar.
        """
        batch, _, height, width = protos.shape
        logits = torch.bmm(coefs.float(), protos.float().flatten(2)).unflatten(2, (height, width))
        loss = F.binary_cross_entropy_with_logits(logits, masks.float(), reduction='none')
        loss = (loss * inside_boxes(boxes, height, width)).sum(dim=(2, 3))
        area = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])).clamp(min=1e-3)
        per_image = (loss / area * valid).sum(dim=1) / valid.sum(dim=1).clamp(min=1)
        return self.loss_weight * per_image.sum() / batch
