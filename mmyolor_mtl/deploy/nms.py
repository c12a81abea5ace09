"""Choosing among the boxes of all anchors, in numpy: what the detection head does with torch and mmcv."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Detections(NamedTuple):
    """K detections in falling order of their scores.

    Attributes:
        boxes: (K, 4) float32 xyxy px.
        scores: (K,) float32.
        labels: (K,) int64.
        anchors: (K,) int64, where the mask coefficients stand.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    anchors: np.ndarray


def select_detections(boxes: np.ndarray, scores: np.ndarray, rules: Mapping[str, Any]) -> Detections:
    """Choose among all (anchor, class) above the threshold, several classes an anchor allowed.

    Args:
        boxes (np.ndarray): (N, 4) float32 xyxy px.
        scores (np.ndarray): (N, C) float32 in [0, 1].
        rules (Mapping): ``score_thr``, ``nms_pre`` (candidates before NMS), ``max_per_img``, and ``iou_threshold`` with
            ``class_agnostic``; an ``iou_threshold`` of None is for branches that need no NMS.
    """
    anchors, labels = np.nonzero(scores > rules['score_thr'])
    found = scores[anchors, labels]
    needs_nms = rules['iou_threshold'] is not None
    order = best_first(found, rules['nms_pre'] if needs_nms else rules['max_per_img'])
    anchors, labels, found = anchors[order], labels[order], found[order]
    if needs_nms:
        groups = np.zeros_like(labels) if rules['class_agnostic'] else labels
        keep = greedy_nms(boxes[anchors], groups, rules['iou_threshold'], rules['max_per_img'])
        anchors, labels, found = anchors[keep], labels[keep], found[keep]
    return Detections(boxes[anchors], found, labels, anchors)


def best_first(scores: np.ndarray, most: int) -> np.ndarray:
    """Places of the ``most`` highest scores (K,), falling; of equal ones the first."""
    if len(scores) > most:
        kept = np.sort(np.argpartition(scores, -most)[-most:])
        return kept[np.argsort(-scores[kept], kind='stable')]
    return np.argsort(-scores, kind='stable')


def greedy_nms(boxes: np.ndarray, groups: np.ndarray, iou_threshold: float, most: int) -> np.ndarray:
    """Non-maximum suppression inside groups, equal to ``mmcv.ops.batched_nms``.

    A box is dropped if it overlaps a kept box of its group by more than the threshold. The search ends with the
    last box that is wanted, and a kept box is compared with its own group alone.

    Args:
        boxes (np.ndarray): (K, 4) float32 xyxy px, best first.
        groups (np.ndarray): (K,) int, such as labels.
        iou_threshold (float): In [0, 1].
        most (int): Boxes to keep.

    Returns:
        np.ndarray: Places of the kept boxes, best first.
    """
    if not len(boxes):
        return np.zeros(0, dtype=np.int64)
    # mmcv moves every group to a place of its own, which rounds the coordinates; so do we.
    offsets = groups.astype(np.float32) * (boxes.max() + np.float32(1))
    corners = np.ascontiguousarray((boxes + offsets[:, None]).T)
    areas = (corners[2] - corners[0]) * (corners[3] - corners[1])
    members = {group: np.flatnonzero(groups == group) for group in np.unique(groups).tolist()}
    alive = np.ones(len(boxes), dtype=bool)
    kept: list[int] = []
    best = 0
    while len(kept) < most:
        best += int(alive[best:].argmax())
        if not alive[best]:
            break
        kept.append(best)
        alive[best] = False
        rivals = members[int(groups[best])]
        rivals = members[int(groups[best])] = rivals[alive[rivals]]
        overlaps = _iou(corners, areas, best, rivals)
        alive[rivals[overlaps > iou_threshold]] = False
    return np.array(kept, dtype=np.int64)


def _iou(corners: np.ndarray, areas: np.ndarray, one: int, others: np.ndarray) -> np.ndarray:
    """Overlap (n,) of one box with some others; NaN for two boxes without area."""
    x1, y1, x2, y2 = corners[:, others]
    width = np.minimum(corners[2, one], x2) - np.maximum(corners[0, one], x1)
    height = np.minimum(corners[3, one], y2) - np.maximum(corners[1, one], y1)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    with np.errstate(invalid='ignore', divide='ignore'):
        return shared / (areas[one] + areas[others] - shared)
