"""Errors of panoptic maps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmdet.structures import DetDataSample

from ..functional import class_quality
from ..metrics import PanopticMetric
from .common import ImageScore, TaskErrors

_NAMED = 6  # categories in a note


class PanopticErrors(TaskErrors):
    """Errors of panoptic maps, matched by a :class:`PanopticMetric`; images are scored by the PQ of their categories.

    Args:
        dataset_meta (Mapping): What the metric needs.
        metric (PanopticMetric): Knows where the true maps come from.
    """

    def __init__(self, dataset_meta: Mapping[str, Any], metric: PanopticMetric) -> None:
        self._metric = metric
        self._metric.dataset_meta = dict(dataset_meta)
        self._metric.outfile_prefix = None  # here it only matches
        self._names = _category_names(dataset_meta)
        self._statistics: list[tuple[int, np.ndarray]] = []

    def __len__(self) -> int:
        """Number of images judged."""
        return len(self._statistics)

    def add(self, index: int, sample: DetDataSample) -> None:
        """Match the segments of a sample.

        Raises:
            ValueError: As ``PanopticMetric.process``.
        """
        if 'pred_panoptic_seg' not in sample:
            return
        self._metric.process(None, [sample.to_dict()])
        statistics = self._metric.results.pop()[1].statistics
        if statistics is not None and len(statistics):
            self._statistics.append((index, statistics))

    def scores(self) -> list[ImageScore]:
        """PQ of every image; perfect ones are left out."""
        scores = [self._score(index, rows) for index, rows in self._statistics]
        return [score for score in scores if score.score < 1]

    def _score(self, index: int, rows: np.ndarray) -> ImageScore:
        _, _, tp, fp, fn = rows.T
        note = f'{int(tp.sum())} of {int((tp + fn).sum())} segments found'
        for title, counts in (('missed', fn), ('wrong', fp)):
            named = [f'{self._names[int(rows[i, 0])]} × {int(counts[i])}' for i in np.flatnonzero(counts)]
            if named:
                note += f'; {title}: {", ".join(named[:_NAMED])}{", ..." if len(named) > _NAMED else ""}'
        return ImageScore(index, float(class_quality([rows])[1].mean()), note, int((fp + fn).sum()))

    def summary(self) -> dict[str, Any]:
        """Figures of all categories.

        Returns:
            dict: ``images``, ``PQ`` and ``categories`` (lowest PQ first).
        """
        statistics = [rows for _, rows in self._statistics]
        categories, pq, *_ = class_quality(statistics)
        every = np.concatenate(statistics)
        counts = np.zeros((len(categories), 3), np.int64)
        np.add.at(counts, np.searchsorted(categories, every[:, 0]), every[:, 2:].astype(np.int64))
        found, wrong, missed = counts.T.tolist()
        rows = [
            {
                'name': self._names[int(categories[i])],
                'PQ': float(pq[i]),
                'found': found[i],
                'wrong': wrong[i],
                'missed': missed[i],
            }
            for i in np.argsort(pq, kind='stable')
        ]
        return {'images': len(self), 'PQ': float(pq.mean()), 'categories': rows}


def _category_names(meta: Mapping[str, Any]) -> dict[int, str]:
    """Names of panoptic categories; merged stuff is named after its first class."""
    ids = [*meta.get('thing_ids', ()), *meta.get('stuff_ids', ())]
    merged = meta.get('panoptic_stuff') or {}
    names: dict[int, str] = {}
    for category, name in zip(ids, [*meta['classes'], *meta.get('stuff_classes', ())], strict=True):
        names.setdefault(merged.get(category, category), name)
    return names
