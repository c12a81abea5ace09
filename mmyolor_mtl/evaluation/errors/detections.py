"""Errors of boxes and masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils
from mmdet.structures import DetDataSample
from mmdet.structures.mask import PolygonMasks

from mmyolor_mtl.structures import encode_mask
from mmyolor_mtl.utils.arrays import to_numpy

from ..functional.detection_errors import (
    KINDS,
    SIZES,
    JudgedDetections,
    detection_quality,
    judge_detections,
    score_histogram,
)
from .common import ImageScore, TaskErrors, confused_pairs, is_labelled, ratio

_PAIRS = 20
_TITLES = {
    'class': 'of the wrong class',
    'localisation': 'badly placed',
    'both': 'of the wrong class and badly placed',
    'duplicate': 'found twice',
    'background': 'where nothing is',
    'missed': 'missed',
}


class DetectionErrors(TaskErrors):
    """Errors of boxes ('det') or masks ('ins'), see :func:`judge_detections`; images are scored by F1.

    Args:
        task (str): 'det' or 'ins'.
        names (Sequence[str]): Names of the classes.
        score_thr (float): Detections with lower scores count in the distribution of the scores only.
    """

    def __init__(self, task: str, names: Sequence[str], score_thr: float) -> None:
        self.task, self.names, self.score_thr = task, list(names), score_thr
        self._judged: list[tuple[int, JudgedDetections]] = []

    def __len__(self) -> int:
        """Number of images judged."""
        return len(self._judged)

    def add(self, index: int, sample: DetDataSample) -> None:
        """Judge a sample.

        Raises:
            ValueError: A mask has another size than the image, or a class has no name.
        """
        judged = self.judge(sample)
        if judged is not None:
            self._judged.append((index, judged))

    def judge(self, sample: DetDataSample) -> JudgedDetections | None:
        """The verdict on a sample; None where it carries no labels or no predictions of the task."""
        if not is_labelled(sample, self.task) or 'gt_instances' not in sample or 'pred_instances' not in sample:
            return None
        found, true = sample.pred_instances, [sample.gt_instances]
        if len(sample.get('ignored_instances', ())):
            true.append(sample.ignored_instances)
        if self.task == 'ins' and any('masks' not in instances for instances in (found, *true)):
            return None
        regions = _mask_regions if self.task == 'ins' else _box_regions
        found_regions = regions(found)
        true_regions = [region for instances in true for region in regions(instances)]
        labels = to_numpy(found.labels)
        if labels.max(initial=0) >= len(self.names):
            raise ValueError(
                f'image {sample.get("img_id")}: class {labels.max()} is predicted, but the data set has '
                f'{len(self.names)}: the predictions belong to another config'
            )
        crowd = np.repeat([False, True][: len(true)], [len(instances) for instances in true])
        return judge_detections(
            _overlaps(found_regions, true_regions, crowd),
            labels,
            to_numpy(found.scores),
            _areas(found_regions),
            np.concatenate([to_numpy(instances.labels) for instances in true]),
            _areas(true_regions),
            crowd,
        )

    def scores(self) -> list[ImageScore]:
        """F1 of every image; those without any error are left out."""
        return [score for index, judged in self._judged if (score := self._score(index, judged)).errors]

    def _score(self, index: int, judged: JudgedDetections) -> ImageScore:
        counts = judged.counts(self.score_thr)
        parts = [f'{counts[kind]} {title}' for kind, title in _TITLES.items() if counts[kind]]
        note = f'{counts["found"]} of {counts["objects"]} objects found; {", ".join(parts) or "no errors"}'
        errors = sum(counts[kind] for kind in _TITLES)
        return ImageScore(index, detection_quality(counts), note, errors)

    def summary(self) -> dict[str, Any]:
        """Counts, confusion and scores.

        Returns:
            dict: ``images``, ``score_thr``, ``counts``, ``sizes`` (counts of each size), ``names`` of the classes,
            ``confusion`` (rows true, columns predicted, last the background), ``confused`` (pairs of classes),
            ``classes`` that occur (least recall first), ``scores`` (correct and wrong detections in equal intervals of
            the score).
        """
        judged = [one for _, one in self._judged]
        confusion = np.sum([one.confusion(len(self.names), self.score_thr) for one in judged], axis=0)
        objects = np.bincount(np.concatenate([one.gt_labels for one in judged]), minlength=len(self.names))
        found = np.concatenate([one.gt_labels[one.found(self.score_thr)] for one in judged])
        recall = np.bincount(found, minlength=len(self.names)) / np.maximum(objects, 1)
        detections = confusion.sum(axis=0)
        classes = [
            {
                'name': self.names[i],
                'objects': int(objects[i]),
                'recall': float(recall[i]),
                'detections': int(detections[i]),
                'precision': ratio(confusion[i, i], detections[i]),
            }
            for i in np.lexsort([-objects, recall, objects == 0])
            if objects[i] or detections[i]
        ]
        return {
            'images': len(judged),
            'score_thr': self.score_thr,
            'counts': _total([one.counts(self.score_thr) for one in judged]),
            'sizes': {size: _total([one.counts(self.score_thr, size) for one in judged]) for size in SIZES},
            'names': self.names,
            'confusion': confusion.tolist(),
            'confused': confused_pairs(confusion[:-1, :-1], self.names, self.names, _PAIRS),
            'classes': classes,
            'scores': score_histogram(judged),
        }


def annotate(sample: DetDataSample, judged: JudgedDetections, score_thr: float, names: Sequence[str]) -> None:
    """Write what is wrong beside the objects of a sample, as ``notes`` of its instances, '' for what is right.

    Args:
        sample (DetDataSample): With ``gt_instances`` and ``pred_instances``.
        judged (JudgedDetections): The verdict on it.
        score_thr (float): Detections with lower scores do not explain what becomes of an object.
        names (Sequence[str]): Names of the classes.
    """
    sample.pred_instances.notes = [_remark(judged, i, names) for i in range(len(judged.labels))]
    remarks = ['missed' if missed else '' for missed in judged.missed(score_thr)]
    found = judged.found(score_thr)
    for i in np.argsort(judged.scores, kind='stable'):
        partner, kind = judged.partners[i], KINDS[judged.kinds[i]]
        if judged.scores[i] >= score_thr and kind in ('class', 'localisation') and not found[partner]:
            taken = f'taken for {names[judged.labels[i]]}'
            remarks[partner] = taken if kind == 'class' else 'badly placed'
    sample.gt_instances.notes = remarks


def _remark(judged: JudgedDetections, i: int, names: Sequence[str]) -> str:
    kind, iou = KINDS[judged.kinds[i]], f'IoU {judged.overlaps[i]:.2f}'
    true = names[judged.gt_labels[judged.partners[i]]] if judged.partners[i] >= 0 else ''
    remarks = {
        'class': f'is {true}',
        'localisation': iou,
        'both': f'is {true}, {iou}',
        'duplicate': 'duplicate',
        'background': 'nothing there',
        'ignored': 'on a crowd',
    }
    return remarks.get(kind, '')


def _box_regions(instances: Any) -> list[np.ndarray]:
    """Boxes as COCO's tools want them, x, y, width, height."""
    boxes = to_numpy(instances.bboxes).reshape(-1, 4).astype(np.float64)
    return list(np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1))


def _mask_regions(instances: Any) -> list[dict]:
    """Masks in whatever form as run lengths."""
    masks = instances.masks
    if isinstance(masks, list):
        return masks
    if isinstance(masks, PolygonMasks):
        size = (masks.height, masks.width)
        return [mask_utils.merge(mask_utils.frPyObjects([r.tolist() for r in rings], *size)) for rings in masks.masks]
    return [encode_mask(mask) for mask in to_numpy(masks).astype(bool, copy=False)]


def _overlaps(found: Sequence[Any], true: Sequence[Any], crowd: np.ndarray) -> np.ndarray:
    """(D, G) IoU by COCO's rules, with a crowd the share of the detection that lies on it."""
    if not found or not true:
        return np.zeros((len(found), len(true)))
    crowds = crowd.astype(np.uint8).tolist()
    if isinstance(found[0], np.ndarray):
        return np.asarray(mask_utils.iou(np.stack(found), np.stack(true), crowds))
    if list(found[0]['size']) != list(true[0]['size']):
        raise ValueError(f'predicted masks are {found[0]["size"]}, true ones {true[0]["size"]} (height, width)')
    return np.asarray(mask_utils.iou(found, true, crowds))


def _areas(regions: Sequence[Any]) -> np.ndarray:
    if not regions:
        return np.zeros(0)
    if isinstance(regions[0], np.ndarray):
        return np.array([region[2] * region[3] for region in regions])
    return mask_utils.area(list(regions)).astype(np.float64)


def _total(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {key: sum(one[key] for one in counts) for key in counts[0]}
