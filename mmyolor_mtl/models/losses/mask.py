"""Mask loss on linear combinations of prototypes (REFERENCE_SPEC 3.2, ``mask``)."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MODELS
from .value_and_gradient import with_gradient

# Mask logits in work at a time: a few megabytes on a CPU, whose caches they should fit; a GPU wants large pieces.
CHUNK = {'cpu': 2**19}
CHUNK_ELSEWHERE = 2**25


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


class _Objects(NamedTuple):
    """The ground-truth objects that have positives, O of them with at most K each.

    Attributes:
        mask: (O,) row of its mask among those of the whole batch.
        image: (O,) image.
        window: (O, 4) first column, first row, columns and rows of the pixels inside its box.
        slot: (n, 2) object and place of each of the n positives.
        weight: (O, K) share of a positive in the loss, 0 where there is none.
    """

    mask: Tensor
    image: Tensor
    window: Tensor
    slot: Tensor
    weight: Tensor


@MODELS.register_module()
class PrototypeMaskLoss(nn.Module):
    """Binary cross-entropy inside the ground-truth box, normalised by the area of the box.

    For each positive anchor the mean over *all* pixels of the cropped cross-entropy is divided by the box area as a
    share of the image; the mean over the positives of an image is summed over images and divided by their number.

    The positives of an object share its box and its mask, so logits are computed once an object, for the pixels of its
    box alone, a chunk of objects of similar size at a time; the gradient is written down in the same pass.

    Args:
        loss_weight: Gain of the term.
    """

    def __init__(self, loss_weight: float = 2.5) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self, coefs: Tensor, protos: Tensor, masks: Tensor, boxes: Tensor, gt_index: Tensor, valid: Tensor
    ) -> Tensor:
        """Loss of a batch of padded positives.

        Args:
            coefs: (B, P, M) coefficients of the positive anchors, padded to the largest number P of an image.
            protos: (B, M, h, w) prototypes.
            masks: (B, G, h, w) 0/1 masks of the ground truth, padded to the largest number G of an image.
            boxes: (B, P, 4) box of the ground truth of each positive, xyxy in pixels of the (h, w) grid.
            gt_index: (B, P) int64, row of the ground truth of each positive in ``masks``.
            valid: (B, P) which entries are not padding.

        Returns:
            Scalar.
        """
        # Products of matrices would leave float32 in mixed precision.
        with torch.no_grad(), torch.autocast(protos.device.type, enabled=False):
            value, coef_gradient, proto_gradient = self._compute(coefs, protos, masks, boxes, gt_index, valid)
        return with_gradient(value, (coefs, protos), (coef_gradient, proto_gradient))

    def _compute(
        self, coefs: Tensor, protos: Tensor, masks: Tensor, boxes: Tensor, gt_index: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, channels, height, width = protos.shape
        objects = self._objects(boxes, gt_index, valid, masks.shape[1], (height, width))
        # A pixel a row, so that the pixels of a box are gathered in whole rows.
        pixels = protos.float().permute(0, 2, 3, 1).reshape(-1, channels)
        flat_masks = masks.flatten()
        object_coefs = pixels.new_zeros(*objects.weight.shape, channels)
        object_coefs[objects.slot[:, 0], objects.slot[:, 1]] = coefs[valid].float()
        object_gradient = torch.zeros_like(object_coefs)
        pixel_gradient = torch.zeros_like(pixels)
        value = pixels.new_zeros(())
        for chunk in self._chunks(objects):
            place, inside = _window_pixels(objects.window[chunk], width)
            pixel = (objects.image[chunk, None] * height * width + place).flatten()
            features = pixels.index_select(0, pixel).unflatten(0, place.shape)
            labels = flat_masks[objects.mask[chunk, None] * height * width + place].to(features)[:, None]
            logits = torch.bmm(object_coefs[chunk], features.transpose(1, 2))
            weight = objects.weight[chunk, :, None] * inside[:, None]
            value += ((F.softplus(logits) - logits * labels) * weight).sum()  # cross-entropy with logits
            slope = (logits.sigmoid_() - labels).mul_(weight)
            object_gradient[chunk] = torch.bmm(slope, features)
            pixel_gradient.index_add_(0, pixel, torch.bmm(slope.transpose(1, 2), object_coefs[chunk]).flatten(0, 1))
        coef_gradient = torch.zeros_like(coefs, dtype=torch.float32)
        coef_gradient[valid] = object_gradient[objects.slot[:, 0], objects.slot[:, 1]]
        return value, coef_gradient, pixel_gradient.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2)

    def _objects(self, boxes: Tensor, gt_index: Tensor, valid: Tensor, num_gt: int, size: tuple[int, int]) -> _Objects:
        """Group the positives by object, largest objects first."""
        batch = len(boxes)
        image = valid.nonzero()[:, 0]
        boxes = boxes[valid].float()
        mask, object_of = (image * num_gt + gt_index[valid]).unique(return_inverse=True)
        count = torch.bincount(object_of, minlength=len(mask))
        # Positives of an object, numbered: the rank among all, sorted by object, minus the rank of the first.
        order = object_of.argsort(stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        place = rank - (count.cumsum(0) - count)[object_of]
        first = order[count.cumsum(0) - count]
        window = _box_windows(boxes[first], size)
        largest = (window[:, 2] * window[:, 3]).argsort(descending=True)
        position = torch.empty_like(largest)
        position[largest] = torch.arange(len(largest), device=largest.device)

        area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).clamp(min=1e-3)
        share = self.loss_weight / batch / (area * valid.sum(dim=1)[image])
        slot = torch.stack([position[object_of], place], dim=1)
        weight = boxes.new_zeros(len(mask), int(count.max()))
        weight[slot[:, 0], slot[:, 1]] = share
        return _Objects(mask[largest], image[first][largest], window[largest], slot, weight)

    @staticmethod
    def _chunks(objects: _Objects) -> Iterator[slice]:
        """Runs of objects that hold about ``CHUNK`` logits when padded to the first, largest of them."""
        budget = CHUNK.get(objects.weight.device.type, CHUNK_ELSEWHERE)
        areas = (objects.window[:, 2] * objects.window[:, 3]).tolist()
        first = 0
        while first < len(areas) and areas[first] > 0:
            many = max(1, budget // (areas[first] * objects.weight.shape[1]))
            yield slice(first, min(first + many, len(areas)))
            first += many


def _box_windows(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """First column, first row, columns and rows (O, 4) int64 of the pixels that :func:`inside_boxes` finds inside."""
    limit = boxes.new_tensor([size[1], size[0]])
    first, last = (corner.ceil().clamp(min=0).minimum(limit).long() for corner in boxes.split(2, dim=1))
    return torch.cat([first, (last - first).clamp(min=0)], dim=1)


def _window_pixels(window: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Pixels of some windows, padded to the first: their places in the grid (o, A), and which are no padding."""
    x, y, columns, rows = window.unsqueeze(-1).unbind(1)
    number = torch.arange(int(window[0, 2] * window[0, 3]), device=window.device)
    inside = number < columns * rows
    columns = columns.clamp(min=1)
    place = (y + number // columns) * width + x + number % columns
    return place.where(inside, torch.zeros_like(place)), inside
