"""Semantic segmentation: mean IoU over things and stuff, and COCO's stuff challenge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmseg.evaluation import IoUMetric

from mmyolor_mtl.datasets.converters.files import write_json
from mmyolor_mtl.registry import METRICS

from ..functional import class_scores, pixel_counts, semantic_scores, stuff_labels
from ..map_files import semantic_png, stuff_results, write_png
from .common import (
    ClassTable,
    check_names,
    class_meta,
    is_labelled,
    log_class_table,
    map_name,
    require,
    to_map,
    unique_images,
    warn_unlabelled,
)


@dataclass
class _ImageResult:
    """Pixel counts of one image by both protocols, and what goes into files; None where there is nothing."""

    counts: np.ndarray | None = None
    stuff_counts: np.ndarray | None = None
    file_name: str | None = None
    stuff: list[dict] | None = None


@METRICS.register_module()
class SemanticMetric(IoUMetric):
    """mIoU, pixel accuracies and frequency-weighted IoU over all thing and stuff classes (REFERENCE_SPEC 6.4).

    Class counts and names come from ``dataset_meta`` (``classes`` then ``stuff_classes``). Pixels whose ground truth is
    255 or an extra class ('other', 'unlabeled') are left out; predicting an extra class on a labelled pixel is always
    wrong. Classes absent from both the ground truth and the predictions do not count.

    Figures, in 0..1: ``mIoU``, ``aAcc`` (share of right pixels), ``mAcc`` (mean recall), ``FWIoU``, ``mIoU_things``,
    ``mIoU_stuff`` (each of these two only if one of its classes occurs). With stuff classes also those of COCO's stuff
    challenge, ``stuff_mIoU``, ``stuff_aAcc``, ``stuff_mAcc``, ``stuff_FWIoU``: all things are one class *other*, so is
    every prediction that is not stuff, and only classes that occur in the ground truth count. Samples whose
    ``labelled_tasks`` lack 'sem' are not scored; without any other sample the result is empty, with a warning.

    Args:
        per_class (bool): Also log a table of every class, and keep it for the JSON of ``EvalTableHook``.
        outfile_prefix (str, optional): Write all predictions as PNGs of category ids (0 = no evaluated class) into
            ``{outfile_prefix}.semantic/``, named like the images, and as COCO stuff results into
            ``{outfile_prefix}.stuff.json``; there *other* has the id after the last class (COCO: 183).
        collect_device (str): Where ranks exchange results, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the figures. Defaults to 'sem'.

    Attributes:
        class_tables: IoU and Acc of every class after an evaluation with ``per_class``, by prefix.
    """

    default_prefix = 'sem'

    def __init__(
        self,
        per_class: bool = False,
        outfile_prefix: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.per_class = per_class
        self.outfile_prefix = outfile_prefix
        self.class_tables: dict[str, ClassTable] = {}

    @IoUMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: Mapping[str, Any]) -> None:
        """Take the classes of any project's data set."""
        self._dataset_meta = class_meta(dataset_meta)

    @property
    def class_names(self) -> list[str]:
        """Names of the evaluated classes, things first."""
        return [*self.dataset_meta['classes'], *self.dataset_meta.get('stuff_classes', ())]

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Samples with ``gt_sem_seg`` and ``pred_sem_seg``, ``sem_seg`` (1, H, W) each.

        Raises:
            ValueError: A labelled sample lacks one of the two, or they differ in size.
        """
        for sample in data_samples:
            result = _ImageResult()
            labelled = is_labelled(sample, 'sem', 'gt_sem_seg')
            if labelled or (self.outfile_prefix is not None and 'pred_sem_seg' in sample):
                cause = 'the model predicts no semantic map, remove the metric'
                pred = require(sample, 'pred_sem_seg', type(self).__name__, cause)
                labels = to_map(pred, 'pred_sem_seg', sample.get('img_id'))
                if labelled:
                    self._count(sample, labels, result)
                if self.outfile_prefix is not None:
                    self._write_map(sample, labels, result)
            # One result per sample, labelled or not: gathering drops the samplers' padding by position.
            self.results.append((sample.get('img_id'), result))

    def _count(self, sample: dict, labels: np.ndarray, result: _ImageResult) -> None:
        name, img_id = type(self).__name__, sample.get('img_id')
        target = require(sample, 'gt_sem_seg', name, 'the pipeline loads no semantic map')
        gt = to_map(target, 'gt_sem_seg', img_id)
        if labels.shape != gt.shape:
            raise ValueError(
                f'{name}: image {img_id}: the prediction is {labels.shape}, the semantic map {gt.shape} (H, W); both '
                'must have the size of the original image'
            )
        result.counts = pixel_counts(labels, gt, len(self.class_names))
        num_things, num_stuff = self._numbers()
        if num_stuff:
            result.stuff_counts = pixel_counts(
                stuff_labels(labels, num_things, num_stuff, rest=num_stuff),
                stuff_labels(gt, num_things, num_stuff),
                num_stuff + 1,
            )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sum the counts and turn them into figures.

        Args:
            results (list): Pairs of image id and its counts.

        Returns:
            dict[str, float]: The figures, in 0..1.
        """
        self.class_tables = {}
        images = unique_images(results)
        if self.outfile_prefix is not None:
            self._write_stuff(images)
        scored = [image for _, image in images if image.counts is not None]
        counts = np.sum([image.counts for image in scored], axis=0)
        if not scored or not counts[2].any():
            warn_unlabelled(type(self).__name__, 'sem')
            return {}
        figures = semantic_scores(counts)
        iou, accuracy = class_scores(counts)
        num_things, num_stuff = self._numbers()
        for name, values in (('mIoU_things', iou[:num_things]), ('mIoU_stuff', iou[num_things:])):
            if not np.isnan(values).all():
                figures[name] = float(np.nanmean(values))
        if num_stuff:
            stuff = semantic_scores(np.sum([image.stuff_counts for image in scored], axis=0), only_true=True)
            figures |= {f'stuff_{name}': value for name, value in stuff.items()}
        if self.per_class:
            rows = zip(self.class_names, iou.tolist(), accuracy.tolist(), strict=True)
            table = [dict(zip(('class', 'IoU', 'Acc'), row, strict=True)) for row in rows]
            log_class_table('semantic segmentation', table)
            self.class_tables = {str(self.prefix): table}
        return figures

    def _numbers(self) -> tuple[int, int]:
        """Number of things and of stuff classes."""
        return len(self.dataset_meta['classes']), len(self.dataset_meta.get('stuff_classes', ()))

    def _write_map(self, sample: dict, labels: np.ndarray, result: _ImageResult) -> None:
        meta = self.dataset_meta
        ids = [*meta['thing_ids'], *meta.get('stuff_ids', ())]
        result.file_name = map_name(sample, type(self).__name__)
        write_png(Path(f'{self.outfile_prefix}.semantic') / result.file_name, semantic_png(labels, ids))
        if meta.get('stuff_ids'):
            result.stuff = stuff_results(labels, len(meta['thing_ids']), meta['stuff_ids'], max(ids) + 1)

    def _write_stuff(self, images: list[tuple[Any, _ImageResult]]) -> None:
        written = [(img_id, image) for img_id, image in images if image.file_name is not None]
        check_names(((img_id, str(image.file_name)) for img_id, image in written), type(self).__name__)
        print_log(f'{len(written)} semantic maps are written to {self.outfile_prefix}.semantic', logger='current')
        if not self.dataset_meta.get('stuff_ids'):
            return
        path = Path(f'{self.outfile_prefix}.stuff.json')
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, [{'image_id': img_id, **stuff} for img_id, image in written for stuff in image.stuff or ()])
        print_log(f'their stuff results are written to {path}', logger='current')
