"""Task-aligned assignment of a whole batch at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...registry import TASK_UTILS
from ..losses.ciou import complete_iou


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


@TASK_UTILS.register_module()
class BatchedTaskAlignedAssigner:
    """Task-aligned assigner (REFERENCE_SPEC 3.1), vectorised over images, objects and anchors.

    Only (object, anchor) pairs whose point lies in the object's box can become positive, so the alignment metric is
    computed on those pairs alone.

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
        self, scores: Tensor, boxes: Tensor, points: Tensor, gt_labels: Tensor, gt_boxes: Tensor, gt_valid: Tensor
    ) -> Assignment:
        """Assign every anchor of the batch.

        Args:
            scores: (B, N, C) class probabilities.
            boxes: (B, N, 4) decoded boxes, xyxy px.
            points: (N, 2) anchor points, xy px.
            gt_labels: (B, G) int64 classes, padded.
            gt_boxes: (B, G, 4) xyxy px, padded.
            gt_valid: (B, G) bool, which rows are objects.

        Returns:
            The assignment; without any object all anchors are negative.
        """
        batch, num_anchors = scores.shape[:2]
        if gt_labels.shape[1] == 0:
            return self._empty(batch, num_anchors, boxes)
        metric, overlap, inside = self._align(scores, boxes, points, gt_labels, gt_boxes, gt_valid)
        positive = self._select_topk(metric, inside)
        positive = self._resolve_conflicts(positive, boxes, gt_boxes)

        foreground = positive.any(dim=1)
        gt_index = positive.to(torch.uint8).argmax(dim=1)
        metric = metric * positive
        overlap = overlap * positive
        scale = overlap.amax(dim=2) / (metric.amax(dim=2) + self.eps)
        target = (metric * scale[..., None]).amax(dim=1)
        return Assignment(
            foreground=foreground,
            gt_index=gt_index,
            labels=gt_labels.gather(1, gt_index),
            boxes=gt_boxes.gather(1, gt_index[..., None].expand(-1, -1, 4)),
            scores=target * foreground,
        )

    @staticmethod
    def _empty(batch: int, num_anchors: int, like: Tensor) -> Assignment:
        index = torch.zeros(batch, num_anchors, dtype=torch.long, device=like.device)
        return Assignment(
            foreground=index.bool(),
            gt_index=index,
            labels=index,
            boxes=like.new_zeros(batch, num_anchors, 4),
            scores=like.new_zeros(batch, num_anchors),
        )

    def _align(
        self, scores: Tensor, boxes: Tensor, points: Tensor, gt_labels: Tensor, gt_boxes: Tensor, gt_valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Metric, clamped CIoU and inside mask, each (B, G, N); zero outside the mask."""
        left_top = points - gt_boxes[:, :, None, :2]
        right_bottom = gt_boxes[:, :, None, 2:] - points
        inside = torch.minimum(left_top, right_bottom).amin(dim=-1) > self.eps
        inside &= gt_valid[..., None]
        image, gt, anchor = inside.nonzero(as_tuple=True)
        pair_overlap = complete_iou(gt_boxes[image, gt], boxes[image, anchor]).clamp(min=0)
        pair_score = scores[image, anchor, gt_labels[image, gt]]
        overlap = boxes.new_zeros(inside.shape)
        metric = boxes.new_zeros(inside.shape)
        overlap[image, gt, anchor] = pair_overlap.to(overlap)
        metric[image, gt, anchor] = (pair_score**self.alpha * pair_overlap**self.beta).to(metric)
        return metric, overlap, inside

    def _select_topk(self, metric: Tensor, inside: Tensor) -> Tensor:
        """The best ``topk`` anchors of each object, (B, G, N) bool."""
        best = metric.topk(min(self.topk, metric.shape[2]), dim=2).indices
        selected = torch.zeros_like(inside).scatter_(2, best, True)
        return selected & inside

    @staticmethod
    def _resolve_conflicts(positive: Tensor, boxes: Tensor, gt_boxes: Tensor) -> Tensor:
        """Give an anchor that several objects claim to the object it overlaps most.

        As in the reference, "most" is taken over all objects of the image, even those that did not claim the anchor;
        padded rows can only win when nothing overlaps, in which case the first of them is row 0 or a real object.
        """
        image, anchor = (positive.sum(dim=1) > 1).nonzero(as_tuple=True)
        if len(image) == 0:
            return positive
        overlaps = complete_iou(gt_boxes[image], boxes[image, anchor][:, None]).clamp(min=0)
        winner = overlaps.argmax(dim=1)
        positive = positive.clone()
        positive[image, :, anchor] = False
        positive[image, winner, anchor] = True
        return positive
