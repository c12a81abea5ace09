"""Task-aligned assignment of a whole batch at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...registry import TASK_UTILS
from ..losses.ciou import complete_iou
from .box_coder import anchor_points


@dataclass
class Assignment:
    """Which ground truth each anchor learns.

    Attributes:
        foreground: (B, N) bool, the positive anchors.
        gt_index: (B, N) int64, row of the ground truth of a positive anchor, 0 elsewhere.
        labels: (B, N) int64, its class, 0 elsewhere.
        boxes: (B, N, 4) its box, xyxy px.
        scores: (B, N) target score of that class, 0 for negatives.
    """

    foreground: Tensor
    gt_index: Tensor
    labels: Tensor
    boxes: Tensor
    scores: Tensor


class _Pairs(NamedTuple):
    """Pairs of an object and an anchor whose point lies in its box; Q of them.

    Attributes:
        gt: (Q,) object, counted over the padded rows of the whole batch.
        anchor: (Q,) anchor of the object's image.
        metric: (Q,) alignment.
        overlap: (Q,) CIoU, at least 0.
    """

    gt: Tensor
    anchor: Tensor
    metric: Tensor
    overlap: Tensor

    def take(self, index: Tensor) -> '_Pairs':
        """Some of the pairs."""
        return _Pairs(*(part[index] for part in self))


@dataclass
class _Batch:
    """What is assigned, with the padded objects of all images in one row: B * G of them."""

    scores: Tensor
    boxes: Tensor
    points: Tensor
    gt_labels: Tensor
    gt_boxes: Tensor
    per_image: int

    def image(self, gt: Tensor) -> Tensor:
        """Image of each object."""
        return gt // self.per_image


@TASK_UTILS.register_module()
class BatchedTaskAlignedAssigner:
    """Task-aligned assigner (REFERENCE_SPEC 3.1), vectorised over images, objects and anchors.

    Only pairs whose point lies in the object's box can become positive. On a level these points are a rectangle of
    cells, so the pairs are listed without looking at any other, and all work is done on the list.

    Args:
        topk: Candidates an object keeps.
        alpha: Exponent of the classification score.
        beta: Exponent of the overlap.
        eps: Margin of the inside test in px, and what keeps divisions finite.
    """

    def __init__(self, topk: int = 10, alpha: float = 0.5, beta: float = 6.0, eps: float = 1e-9) -> None:
        if topk < 1:
            raise ValueError(f'topk must be at least 1, got {topk}')
        self.topk = topk
        self.alpha = alpha
        self.beta = beta
        self.eps = eps

    @torch.no_grad()
    def assign(
        self,
        scores: Tensor,
        boxes: Tensor,
        levels: Sequence[tuple[int, int, int]],
        gt_labels: Tensor,
        gt_boxes: Tensor,
        gt_valid: Tensor,
    ) -> Assignment:
        """Assign every anchor of the batch.

        Args:
            scores: (B, N, C) class probabilities.
            boxes: (B, N, 4) decoded boxes, xyxy px.
            levels: Rows, columns and stride in px of each level; anchors are its cells' middles, row by row.
            gt_labels: (B, G) int64 classes, padded.
            gt_boxes: (B, G, 4) xyxy px, padded.
            gt_valid: (B, G) bool, which rows are objects.

        Returns:
            The assignment; without any object all anchors are negative.
        """
        (batch, anchors), per_image = scores.shape[:2], gt_labels.shape[1]
        foreground = torch.zeros(batch, anchors, dtype=torch.bool, device=scores.device)
        gt_index = torch.zeros(batch, anchors, dtype=torch.long, device=scores.device)
        target = scores.new_zeros(batch, anchors)
        if per_image:
            sizes, strides = [level[:2] for level in levels], [level[2] for level in levels]
            points, _ = anchor_points(sizes, strides, boxes)
            data = _Batch(scores, boxes, points, gt_labels.flatten(), gt_boxes.flatten(0, 1), per_image)
            gt, anchor = self._candidates(data, gt_valid.flatten(), levels)
            pairs = self._select_topk(data, self._align(data, gt, anchor))
            pairs = self._resolve_conflicts(data, pairs)
            place = data.image(pairs.gt), pairs.anchor
            foreground[place] = True
            gt_index[place] = pairs.gt % per_image
            target[place] = self._normalise(pairs, gt_labels.numel()).to(target)
        return Assignment(
            foreground=foreground,
            gt_index=gt_index,
            labels=gt_labels.gather(1, gt_index) if per_image else gt_index,
            boxes=gt_boxes.gather(1, gt_index[..., None].expand(-1, -1, 4)) if per_image else torch.zeros_like(boxes),
            scores=target,
        )

    @staticmethod
    def _candidates(data: _Batch, valid: Tensor, levels: Sequence[tuple[int, int, int]]) -> tuple[Tensor, Tensor]:
        """Pairs (Q,), (Q,) of an object and a cell whose middle lies in its box or on the edge of it."""
        objects = valid.nonzero()[:, 0]
        height, width, stride = (torch.tensor(values, device=valid.device) for values in zip(*levels, strict=True))
        offset = (height * width).cumsum(0) - height * width
        x1, y1, x2, y2 = (data.gt_boxes[objects, side, None] / stride for side in range(4))

        def cells(low: Tensor, high: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
            first = (low - 0.5).ceil().clamp(min=0).long()
            last = torch.minimum((high - 0.5).floor().clamp(max=1e6).long(), limit - 1)
            return first, (last - first + 1).clamp(min=0)

        (column, columns), (row, rows) = cells(x1, x2, width), cells(y1, y2, height)
        count = (columns * rows).flatten()
        block = torch.arange(len(count), device=count.device).repeat_interleave(count)
        number = torch.arange(len(block), device=count.device) - (count.cumsum(0) - count)[block]
        across = columns.flatten()[block]
        level = block % len(levels)
        row = row.flatten()[block] + number // across
        column = column.flatten()[block] + number % across
        return objects[block // len(levels)], offset[level] + row * width[level] + column

    def _align(self, data: _Batch, gt: Tensor, anchor: Tensor, inside_only: bool = True) -> _Pairs:
        """Metric and clamped CIoU of pairs; those whose point is not inside are left out, or get zeros."""
        gt_boxes = _pick(data.gt_boxes, gt)
        points = _pick(data.points, anchor)
        inside = torch.minimum(points - gt_boxes[:, :2], gt_boxes[:, 2:] - points).amin(dim=1) > self.eps
        if inside_only and not inside.all():
            gt, anchor, gt_boxes = gt[inside], anchor[inside], _pick(gt_boxes, inside.nonzero()[:, 0])
        place = data.image(gt) * data.boxes.shape[1] + anchor
        overlap = complete_iou(gt_boxes, _pick(data.boxes.flatten(0, 1), place)).clamp_(min=0)
        score = data.scores.flatten()[place * data.scores.shape[2] + data.gt_labels[gt]]
        metric = score**self.alpha * overlap**self.beta
        if not inside_only:
            metric, overlap = metric * inside, overlap * inside
        return _Pairs(gt, anchor, metric, overlap)

    def _select_topk(self, data: _Batch, pairs: _Pairs) -> _Pairs:
        """The best ``topk`` pairs of each object.

        Of pairs whose metric is zero the reference takes what ``torch.topk`` happens to find among all anchors of the
        image. Where an object's choice depends on it, the same is asked here.
        """
        num_gt = len(data.gt_labels)
        aligned = pairs.metric > 0
        inside, positive = (torch.bincount(gt, minlength=num_gt) for gt in (pairs.gt, pairs.gt[aligned]))
        tied = (positive < self.topk) & (positive < inside)
        clear = (aligned & ~tied[pairs.gt]).nonzero()[:, 0]
        clear = clear[pairs.metric[clear].argsort(descending=True)]
        clear = clear[pairs.gt[clear].argsort(stable=True)]
        count = positive * ~tied
        rank = torch.arange(len(clear), device=clear.device) - (count.cumsum(0) - count)[pairs.gt[clear]]
        return pairs.take(torch.cat([clear[rank < self.topk], self._select_tied(pairs, tied, data.boxes.shape[1])]))

    def _select_tied(self, pairs: _Pairs, tied: Tensor, anchors: int) -> Tensor:
        """Choice of the ``tied`` objects among all anchors of their images, as positions in ``pairs``."""
        mine = tied[pairs.gt].nonzero()[:, 0]
        row, column = (tied.cumsum(0) - 1)[pairs.gt[mine]], pairs.anchor[mine]
        metric = pairs.metric.new_zeros(int(tied.sum()), anchors)
        metric[row, column] = pairs.metric[mine]
        best = metric.topk(min(self.topk, anchors), dim=1).indices
        found = torch.zeros_like(metric, dtype=torch.bool).scatter_(1, best, True)
        return mine[found[row, column]]

    def _resolve_conflicts(self, data: _Batch, pairs: _Pairs) -> _Pairs:
        """Give an anchor that several objects claim to the object it overlaps most.

        As in the reference, "most" is taken over all objects of the image, even those that did not claim the anchor;
        padded rows can only win when nothing overlaps, in which case the first of them is row 0 or a real object.
        """
        anchors = data.boxes.shape[1]
        place = data.image(pairs.gt) * anchors + pairs.anchor
        claims = torch.zeros(data.boxes.shape[0] * anchors, dtype=torch.long, device=place.device)
        claims.scatter_add_(0, place, torch.ones_like(place))
        contested = (claims > 1).nonzero()[:, 0]
        if len(contested) == 0:
            return pairs
        image, anchor = contested // anchors, contested % anchors
        gt_boxes = data.gt_boxes.unflatten(0, (-1, data.per_image))[image]
        overlaps = complete_iou(gt_boxes, data.boxes[image, anchor][:, None]).clamp(min=0)
        winner = image * data.per_image + overlaps.argmax(dim=1)
        settled = self._align(data, winner, anchor, inside_only=False)
        kept = pairs.take(claims[place] == 1)
        return _Pairs(*(torch.cat(parts) for parts in zip(kept, settled, strict=True)))

    def _normalise(self, pairs: _Pairs, num_gt: int) -> Tensor:
        """Target scores (Q,): an object's best anchor gets its best overlap, the others in proportion."""
        best_metric, best_overlap = (
            values.new_zeros(num_gt).scatter_reduce(0, pairs.gt, values, 'amax', include_self=True)
            for values in (pairs.metric, pairs.overlap)
        )
        return pairs.metric * (best_overlap / (best_metric + self.eps))[pairs.gt]


def _pick(rows: Tensor, index: Tensor) -> Tensor:
    """``rows[index]`` (Q, k), each column contiguous: what is computed column by column runs several times faster."""
    return rows.t().index_select(1, index).t()
