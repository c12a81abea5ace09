"""Boxes and masks: COCO's average precision, each task on the images that carry its labels."""

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from pycocotools import mask as mask_utils

from mmyolor_mtl.datasets.converters.files import write_json
from mmyolor_mtl.registry import METRICS
from mmyolor_mtl.structures import encode_mask
from mmyolor_mtl.utils.arrays import to_numpy

from ..caption_files import name_images
from ..detection_files import coco_detections
from ..functional import average_precision
from ..functional.average_precision import MAX_DETECTIONS, figure_names, load_backend
from .common import ClassTable, is_labelled, log_class_table, require, unique_images, warn_unlabelled

_TASKS = {'bbox': 'det', 'segm': 'ins'}
_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')


@dataclass
class _ImageResult:
    """For which metrics an image is labelled, its ground truth (without ``ann_file``), and what was predicted."""

    metrics: tuple[str, ...] = ()
    truth: dict[str, Any] = field(default_factory=dict)
    prediction: dict[str, Any] | None = None


@METRICS.register_module()
class DetectionMetric(CocoMetric):
    """mmdet's ``CocoMetric`` for partly labelled data: *no annotation* is not *no object*.

    Boxes are scored on the images whose ``labelled_tasks`` hold 'det', masks on those with 'ins'; without any the
    result lacks that part, with a warning. Samples without ``labelled_tasks`` count if ``ann_file`` lists them. Further
    differences: figures are not rounded; all AP are those of the best 100 objects an image, as the official evaluation
    has it; classes are found in ``ann_file`` by name; images of ``ann_file`` that the loop does not visit are not
    scored, with a warning.

    Figures: ``bbox_mAP, bbox_mAP_50, bbox_mAP_75, bbox_mAP_s, bbox_mAP_m, bbox_mAP_l`` and the same with ``segm_``, in
    0..1, -1 where no object is of that size.

    Args:
        ann_file (str, optional): COCO instances JSON. Defaults to None: objects and crowds that the samples carry; the
            size of an object is then the area of its mask, or else of its box.
        metric (str | Sequence[str]): 'bbox', 'segm' or both.
        per_class (bool): Also log a table of every class, and keep it for the JSON of ``EvalTableHook``.
        backend (str): 'pycocotools', or 'faster_coco_eval': the same figures in less time.
        outfile_prefix (str, optional): Write the predictions on all images that ``ann_file`` lists (without it, on all
            images) as COCO results: ``{outfile_prefix}.bbox.json`` and, if there are masks, ``.segm.json``; without
            ``ann_file`` also the ground truth, ``.gt.json``. What is written is what is scored: scores rounded to 5
            decimals, boxes to 3 (REFERENCE_SPEC 6.4).
        metric_items (Sequence[str], optional): Which figures, see
            :func:`~mmyolor_mtl.evaluation.functional.average_precision`.
        iou_thrs (float | Sequence[float], optional): IoU thresholds. Defaults to 0.5, 0.55, ... 0.95.
        proposal_nums (Sequence[int]): How many objects an image may have, see ``max_dets`` there.
        backend_args (dict, optional): Where ``ann_file`` lies, as for mmdet.
        collect_device (str): Where ranks exchange results, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the figures. Defaults to 'coco'.

    Attributes:
        class_tables: AP of every class after an evaluation with ``per_class``, by prefix and metric (``coco/bbox``).

    Raises:
        ImportError: The backend is not installed.
        ValueError: A metric, figure or backend is unknown, or ``ann_file`` is no COCO instances JSON.
    """

    default_prefix = 'coco'

    def __init__(
        self,
        ann_file: str | None = None,
        metric: str | Sequence[str] = 'bbox',
        *,
        per_class: bool = False,
        backend: str = 'pycocotools',
        outfile_prefix: str | None = None,
        metric_items: Sequence[str] | None = None,
        iou_thrs: float | Sequence[float] | None = None,
        proposal_nums: Sequence[int] = MAX_DETECTIONS,
        backend_args: dict | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        metrics = [metric] if isinstance(metric, str) else list(metric)
        if not metrics or not set(metrics) <= _TASKS.keys():
            raise ValueError(f"metric={metric!r} must come from {tuple(_TASKS)}; mmdet's CocoMetric scores proposals")
        known = figure_names(proposal_nums)
        unknown = [name for name in metric_items or () if name not in known]
        if unknown:
            raise ValueError(f'metric_items {unknown} are unknown; there are {", ".join(known)}')
        load_backend(backend)
        super().__init__(
            metric=metrics,
            proposal_nums=proposal_nums,
            iou_thrs=iou_thrs,
            metric_items=metric_items,
            outfile_prefix=outfile_prefix,
            backend_args=backend_args,
            collect_device=collect_device,
            prefix=prefix,
        )
        if ann_file is not None:
            self._coco_api = _read_truth(ann_file, backend_args)
        self.per_class = per_class
        self.backend = backend
        self.class_tables: dict[str, ClassTable] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Samples with ``img_id``, ``ori_shape`` and ``pred_instances``: ``bboxes``
                (K, 4) xyxy px, ``scores`` (K,), ``labels`` (K,) and, for 'segm', ``masks``: (K, H, W) bool, or a list
                of K COCO RLE dicts. Without ``ann_file`` also ``gt_instances`` and ``ignored_instances``.

        Raises:
            ValueError: A labelled sample lacks a field.
        """
        for sample in data_samples:
            result = _ImageResult(self._labelled_metrics(sample))
            if result.metrics or (self._is_written(sample) and 'pred_instances' in sample):
                self._check(sample, result.metrics)
                truth = _annotations(sample) if self._coco_api is None and result.metrics else []
                # mmdet's own step, which makes arrays and run lengths.
                super().process(data_batch, [{**sample, 'instances': truth}])
                result.truth, result.prediction = self.results.pop()
            # One result per sample, labelled or not: gathering drops the samplers' padding by position.
            self.results.append((sample.get('img_id'), result))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Score all images.

        Args:
            results (list): Pairs of image id and its result.

        Returns:
            dict[str, float]: The figures.
        """
        self.class_tables = {}
        images = unique_images(results)
        truth = self._ground_truth(images)
        category_ids = self._category_ids(truth)
        detections = {
            metric: [
                one
                for img_id, image in images
                if image.prediction is not None and (metric == 'bbox' or 'masks' in image.prediction)
                for one in coco_detections(metric, img_id, category_ids, image.prediction)
            ]
            for metric in (self.metrics if self.outfile_prefix is None else _TASKS)
        }
        if self.outfile_prefix is not None:
            self._write(detections, truth, any('masks' in (image.prediction or ()) for _, image in images))
        self._report_unvisited(images)
        figures: dict[str, float] = {}
        for metric in self.metrics:
            img_ids = [img_id for img_id, image in images if metric in image.metrics]
            if img_ids:
                figures |= self._score(metric, truth, detections[metric], img_ids, category_ids)
            else:
                warn_unlabelled(type(self).__name__, _TASKS[metric])
        return figures

    def _score(
        self,
        metric: str,
        truth: Mapping[str, Any],
        detections: list[dict[str, Any]],
        img_ids: list[Any],
        category_ids: list[int | None],
    ) -> dict[str, float]:
        scores = average_precision(
            truth,
            detections,
            metric,
            img_ids=img_ids,
            cat_ids=[category for category in category_ids if category is not None],
            iou_thrs=self.iou_thrs,
            max_dets=self.proposal_nums,
            backend=self.backend,
        )
        if self.per_class:
            names = zip(self.dataset_meta['classes'], category_ids, strict=True)
            table = [{'class': name, **scores.per_class[category]} for name, category in names if category is not None]
            log_class_table('boxes' if metric == 'bbox' else 'masks', table)
            self.class_tables[f'{self.prefix}/{metric}'] = table
        # AP50 and AP75 are missing where other IoU thresholds are chosen.
        items = [name for name in self.metric_items or _ITEMS if name in scores.figures]
        return {f'{metric}_{name}': scores.figures[name] for name in items}

    def _labelled_metrics(self, sample: Mapping[str, Any]) -> tuple[str, ...]:
        """For which of the metrics an image is labelled."""
        if self._coco_api is not None:
            if sample.get('img_id') not in self._coco_api.imgs:
                return ()
            if sample.get('labelled_tasks') is None:
                return tuple(self.metrics)
        return tuple(metric for metric in self.metrics if is_labelled(sample, _TASKS[metric], 'gt_instances'))

    def _is_written(self, sample: Mapping[str, Any]) -> bool:
        listed = self._coco_api is None or sample.get('img_id') in self._coco_api.imgs
        return self.outfile_prefix is not None and listed

    def _check(self, sample: Mapping[str, Any], metrics: Sequence[str]) -> None:
        name = type(self).__name__
        prediction = require(sample, 'pred_instances', name, 'the model predicts no objects, remove the metric')
        if 'segm' in metrics and 'masks' not in prediction:
            raise ValueError(
                f'{name}: image {sample.get("img_id")} has no masks in pred_instances: the model predicts none, '
                "write metric='bbox'"
            )
        if self._coco_api is None and metrics:
            truth = require(sample, 'gt_instances', name, 'give an ann_file, or let the pipeline load annotations')
            if 'segm' in metrics and 'masks' not in truth:
                raise ValueError(f'{name}: image {sample.get("img_id")} has no masks in gt_instances')

    def _ground_truth(self, images: Sequence[tuple[Any, _ImageResult]]) -> dict[str, Any]:
        """Content of ``ann_file``, or what the samples carry in that form."""
        if self._coco_api is not None:
            return self._coco_api.dataset
        meta = self.dataset_meta
        ids = meta.get('thing_ids') or range(1, len(meta['classes']) + 1)
        categories = [{'id': int(i), 'name': name} for i, name in zip(ids, meta['classes'], strict=True)]
        annotations = [
            {**ann, 'image_id': img_id, 'category_id': categories[ann['category_id']]['id']}
            for img_id, image in images
            for ann in image.truth.get('anns', ())
        ]
        infos = [
            {'id': img_id, 'height': image.truth['height'], 'width': image.truth['width'], 'file_name': ''}
            for img_id, image in images
            if image.truth
        ]
        numbered = [{'id': number, **ann} for number, ann in enumerate(annotations, start=1)]
        return {'images': infos, 'annotations': numbered, 'categories': categories}

    def _category_ids(self, truth: Mapping[str, Any]) -> list[int | None]:
        """Category id of each class by its name in the ground truth, None where it has no such category."""
        by_name = {category['name']: category['id'] for category in truth['categories']}
        ids = [by_name.get(name) for name in self.dataset_meta['classes']]
        missing = [name for name, category in zip(self.dataset_meta['classes'], ids, strict=True) if category is None]
        if missing:
            text = f'{type(self).__name__}: ann_file has no category {", ".join(map(repr, missing[:8]))}'
            if len(missing) == len(ids):
                raise ValueError(f'{text} ...: none of the model. Its categories are {", ".join(map(repr, by_name))}')
            print_log(f'{text}: not scored, predictions are left out', logger='current', level=logging.WARNING)
        return ids

    def _report_unvisited(self, images: Sequence[tuple[Any, _ImageResult]]) -> None:
        if self._coco_api is None:
            return
        visited = {img_id for img_id, _ in images}
        missing = [img_id for img_id in self._coco_api.imgs if img_id not in visited]
        if missing:
            print_log(
                f'{type(self).__name__}: {name_images(missing)} of ann_file are not in the evaluated data set; '
                'not scored',
                logger='current',
                level=logging.WARNING,
            )

    def _write(self, detections: Mapping[str, list], truth: Mapping[str, Any], has_masks: bool) -> None:
        Path(f'{self.outfile_prefix}.bbox.json').parent.mkdir(parents=True, exist_ok=True)
        files: dict[str, Any] = {'bbox': detections['bbox']}
        if has_masks:
            files['segm'] = detections['segm']
        if self._coco_api is None:
            files['gt'] = truth
        for name, content in files.items():
            write_json(f'{self.outfile_prefix}.{name}.json', content)
        names = ', '.join(f'{self.outfile_prefix}.{name}.json' for name in files)
        print_log(f'predictions are written to {names}', logger='current')


def _annotations(sample: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Objects and crowds of a sample as COCO annotations, with the label as category."""
    annotations = []
    for name, crowd in (('gt_instances', 0), ('ignored_instances', 1)):
        instances = sample.get(name) or {}
        if not len(instances.get('labels', ())):
            continue
        corners = to_numpy(instances['bboxes']).astype(np.float64)
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        segments = _segments(instances.get('masks'), sample['ori_shape'])
        for i, (box, label) in enumerate(zip(boxes.tolist(), to_numpy(instances['labels']).tolist(), strict=True)):
            ann = {'category_id': label, 'bbox': box, 'area': box[2] * box[3], 'iscrowd': crowd}
            if segments is not None:
                ann['segmentation'] = segments[i]
                ann['area'] = float(mask_utils.area(segments[i]))
            annotations.append(ann)
    return annotations


def _segments(masks: Any, shape: Sequence[int]) -> list[dict] | None:
    """Run lengths of ground-truth masks: mmdet's polygons or bitmaps, a tensor, or run lengths already."""
    if masks is None or isinstance(masks, list):
        return masks
    if hasattr(masks, 'to_bitmap'):  # polygons, drawn as COCO does
        return [_text(mask_utils.merge(mask_utils.frPyObjects(list(rings), *shape[:2]))) for rings in masks.masks]
    return [encode_mask(mask) for mask in to_numpy(masks)]


def _text(rle: dict) -> dict:
    return {'size': rle['size'], 'counts': rle['counts'].decode('ascii')}


def _read_truth(ann_file: str, backend_args: dict | None) -> COCO:
    try:
        with get_local_path(ann_file, backend_args=backend_args) as path, contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(path)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise ValueError(f'{ann_file} is no COCO instances JSON: {error!r}') from error
    if not {'images', 'categories'} <= coco.dataset.keys():
        raise ValueError(f'{ann_file} is no COCO instances JSON: it needs "images" and "categories"')
    return coco
