"""Errors of semantic maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.structures import DetDataSample

from mmyolor_mtl.utils.arrays import to_numpy

from ..functional import class_scores, semantic_scores
from ..functional.semantic_errors import confusion_counts, pixel_confusion
from .common import ImageScore, TaskErrors, confused_pairs, is_labelled, ratio

_PAIRS = 20


class SemanticErrors(TaskErrors):
    """Errors of semantic maps; images are scored by the mean IoU of the classes in them.

    Args:
        evaluated (Sequence[str]): Names of the things and stuff.
        extra (Sequence[str]): Names of further classes that may be predicted, always wrongly.
    """

    def __init__(self, evaluated: Sequence[str], extra: Sequence[str]) -> None:
        self.evaluated, self.names = list(evaluated), [*evaluated, *extra]
        self._pixels = np.zeros((len(self.evaluated), len(self.names)), np.int64)
        self._scores: list[ImageScore] = []

    def __len__(self) -> int:
        """Number of images judged."""
        return len(self._scores)

    def add(self, index: int, sample: DetDataSample) -> None:
        """Count the pixels of a sample.

        Raises:
            ValueError: Prediction and ground truth differ in size, or a class has no name.
        """
        maps = semantic_maps(sample)
        if maps is None:
            return
        confusion = pixel_confusion(*maps, len(self.evaluated), len(self.names))
        if not confusion.any():
            return
        self._pixels += confusion
        scores = semantic_scores(confusion_counts(confusion))
        note = f'{scores["aAcc"]:.0%} of the pixels are right'
        for pair in confused_pairs(confusion, self.evaluated, self.names, 3):
            note += f'; {pair["share_of_true"]:.0%} of {pair["true"]} as {pair["predicted"]}'
        self._scores.append(ImageScore(index, scores['mIoU'], note))

    def scores(self) -> list[ImageScore]:
        """Mean IoU of every image; those without a wrong pixel are left out."""
        return [score for score in self._scores if score.score < 1]

    def summary(self) -> dict[str, Any]:
        """Figures of all pixels.

        Returns:
            dict: ``images``, ``mIoU``, ``accuracy``, ``classes`` (lowest IoU first) and ``confused`` (pairs of classes,
            most pixels first).
        """
        counts = confusion_counts(self._pixels)
        (iou, _), true, scores = class_scores(counts), counts[2], semantic_scores(counts)
        classes = [
            {'name': self.evaluated[i], 'share': ratio(true[i], true.sum()), 'iou': float(iou[i])}
            for i in np.argsort(iou, kind='stable')
            if not np.isnan(iou[i])
        ]
        return {
            'images': len(self),
            'mIoU': scores['mIoU'],
            'accuracy': scores['aAcc'],
            'classes': classes,
            'confused': confused_pairs(self._pixels, self.evaluated, self.names, _PAIRS),
        }


def semantic_maps(sample: DetDataSample) -> tuple[np.ndarray, np.ndarray] | None:
    """Predicted and true map (H,W) of a sample; None where it lacks one or carries no labels of the task."""
    if not is_labelled(sample, 'sem') or 'gt_sem_seg' not in sample or 'pred_sem_seg' not in sample:
        return None
    return to_numpy(sample.pred_sem_seg.sem_seg)[0], to_numpy(sample.gt_sem_seg.sem_seg)[0]


def wrong_pixels(prediction: np.ndarray, target: np.ndarray, num_evaluated: int) -> np.ndarray:
    """Bool (H,W): labelled pixels of another class than predicted."""
    return (prediction != target) & (target < num_evaluated)
