"""Panoptic segmentation: PQ from COCO panoptic files, or from instances and semantic maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mmengine
import numpy as np
from mmdet.evaluation import INSTANCE_OFFSET
from mmengine.evaluator import BaseMetric
from PIL import Image

from mmyolor_mtl.registry import METRICS

from ..functional import panoptic_quality, segment_statistics
from .common import is_labelled, require, to_map, unique_images, warn_unlabelled


@dataclass
class Segments:
    """A panoptic map and what its ids mean: ``ids`` (H, W) int64, 0 = void; category of each id; ids of crowds."""

    ids: np.ndarray
    categories: dict[int, int]
    crowds: set[int] = field(default_factory=set)


@METRICS.register_module()
class PanopticMetric(BaseMetric):
    """Panoptic quality by COCO's rules (REFERENCE_SPEC 6.4), at the size of the original images.

    Figures, in 0..1: ``PQ, SQ, RQ`` over all categories that occur, ``PQ_th, SQ_th, RQ_th`` over things,
    ``PQ_st, SQ_st, RQ_st`` over stuff. Predicted stuff classes become panoptic categories through
    ``dataset_meta['panoptic_stuff']``; those of one category merge, and those that map to 0 become void.

    With ``ann_file`` the ground truth comes from COCO panoptic files, and images that are not in it are skipped.
    Without, it is built from the sample's instances (smaller ones in front), crowds and semantic map; then samples
    whose ``labelled_tasks`` lack 'ins' or 'sem' are skipped. True segments of categories that ``dataset_meta`` does not
    know are void.

    Args:
        ann_file (str, optional): COCO panoptic JSON.
        seg_prefix (str, optional): Folder of its PNG files; needed with ``ann_file``.
        collect_device (str): Where ranks exchange results, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the figures. Defaults to 'pan'.

    Raises:
        FileNotFoundError: ``ann_file`` or ``seg_prefix`` does not exist.
        ValueError: Only one of them is given, or ``ann_file`` is no COCO panoptic JSON.
    """

    default_prefix = 'pan'

    def __init__(
        self,
        ann_file: str | None = None,
        seg_prefix: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if (ann_file is None) != (seg_prefix is None):
            raise ValueError(f'give both or neither: ann_file={ann_file!r}, seg_prefix={seg_prefix!r}')
        self.ann_file = ann_file
        self.seg_prefix = Path(seg_prefix or '.')
        self._annotations = {} if ann_file is None else _read_annotations(ann_file, self.seg_prefix)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Match the segments of a batch.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): Samples with ``img_id`` and ``pred_panoptic_seg`` (``sem_seg`` (1, H, W):
                class + number * INSTANCE_OFFSET); without ``ann_file`` also ``gt_instances`` and ``gt_sem_seg``.

        Raises:
            ValueError: A field is missing, sizes differ, or a PNG holds an id that the JSON does not explain.
        """
        for sample in data_samples:
            img_id = sample.get('img_id')
            target = self._target(sample)
            statistics = None
            if target is not None:
                cause = 'the model predicts no panoptic map, remove the metric'
                prediction = self._prediction(require(sample, 'pred_panoptic_seg', type(self).__name__, cause), img_id)
                if prediction.ids.shape != target.ids.shape:
                    raise ValueError(
                        f'{type(self).__name__}: image {img_id}: the prediction is {prediction.ids.shape}, the ground '
                        f'truth {target.ids.shape} (H, W); both must have the size of the original image'
                    )
                statistics = segment_statistics(
                    prediction.ids, prediction.categories, target.ids, target.categories, target.crowds
                )
            # One result per sample, labelled or not: gathering drops the samplers' padding by position.
            self.results.append((img_id, statistics))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Add up the images and average over the categories.

        Args:
            results (list): Pairs of image id and statistics, see
                :func:`~mmyolor_mtl.evaluation.functional.segment_statistics`.

        Returns:
            dict[str, float]: The figures, in 0..1.
        """
        statistics = [rows for _, rows in unique_images(results) if rows is not None]
        quality = panoptic_quality(statistics, self.dataset_meta['thing_ids'])
        if not quality:
            warn_unlabelled(type(self).__name__, 'pan')
        return quality

    def _class_categories(self) -> np.ndarray:
        """Panoptic category of each evaluated class, and 0 (void) as the last entry."""
        meta = self.dataset_meta
        merged = meta.get('panoptic_stuff') or {}
        stuff = [merged.get(category, category) for category in meta.get('stuff_ids', ())]
        return np.array([*meta['thing_ids'], *stuff, 0], dtype=np.int64)

    def _prediction(self, prediction: Mapping[str, Any], img_id: Any) -> Segments:
        values = to_map(prediction, 'pred_panoptic_seg', img_id)
        classes = self._class_categories()
        unique, inverse = np.unique(values, return_inverse=True)
        labels = np.minimum(unique % INSTANCE_OFFSET, len(classes) - 1)
        categories = classes[labels]
        # Stuff classes of one category are one segment, so its id comes from the category; a thing's from its value.
        is_thing = labels < len(self.dataset_meta['thing_ids'])
        ids = np.where(is_thing, unique + classes.max() + 1, categories)
        return Segments(
            ids[inverse].reshape(values.shape), {int(i): int(c) for i, c in zip(ids, categories, strict=True) if c}
        )

    def _target(self, sample: Mapping[str, Any]) -> Segments | None:
        img_id = sample.get('img_id')
        if self.ann_file is not None:
            annotation = self._annotations.get(img_id)
            return None if annotation is None else self._load(annotation)
        if not (is_labelled(sample, 'ins', 'gt_instances') and is_labelled(sample, 'sem', 'gt_sem_seg')):
            return None
        return self._build(sample)

    def _load(self, annotation: Mapping[str, Any]) -> Segments:
        path = self.seg_prefix / annotation['file_name']
        if not path.is_file():
            raise FileNotFoundError(f'panoptic map {path} of image {annotation["image_id"]} does not exist')
        with Image.open(path) as image:
            rgb = np.asarray(image.convert('RGB'), dtype=np.int64)
        ids = rgb @ np.array([1, 256, 65536])
        explained = {segment['id'] for segment in annotation['segments_info']}
        unknown = set(np.unique(ids).tolist()) - explained - {0}
        if unknown:
            raise ValueError(f'{path} holds the segment ids {sorted(unknown)[:5]}, which {self.ann_file} does not list')
        evaluated = set(self._class_categories().tolist())
        known = [s for s in annotation['segments_info'] if s['category_id'] in evaluated]
        return Segments(
            ids, {s['id']: s['category_id'] for s in known}, {s['id'] for s in known if s.get('iscrowd', 0)}
        )

    def _build(self, sample: Mapping[str, Any]) -> Segments:
        name, img_id = type(self).__name__, sample.get('img_id')
        target = require(sample, 'gt_sem_seg', name, 'the pipeline loads no semantic map')
        labels = to_map(target, 'gt_sem_seg', img_id)
        classes = self._class_categories()
        num_things = len(self.dataset_meta['thing_ids'])
        stuff = (labels >= num_things) & (labels < len(classes) - 1)
        segments = Segments(np.where(stuff, classes[np.where(stuff, labels, -1)], 0), {})
        segments.categories = {int(category): int(category) for category in np.unique(segments.ids) if category}

        instances = require(sample, 'gt_instances', name, 'the pipeline loads no instances')
        objects = _objects(instances, labels.shape, crowd=False)
        objects += _objects(sample.get('ignored_instances') or {}, labels.shape, crowd=True)
        # Painted from the back: crowds, then objects from large to small.
        objects.sort(key=lambda item: (not item[2], -int(item[0].sum())))
        for number, (mask, label, crowd) in enumerate(objects, start=int(classes.max()) + 1):
            segments.ids[mask] = number
            segments.categories[number] = int(classes[label])
            if crowd:
                segments.crowds.add(number)
        return segments


def _objects(instances: Mapping[str, Any], shape: tuple[int, int], crowd: bool) -> list[tuple[np.ndarray, int, bool]]:
    """Masks (H, W) bool with their labels; a crowd without a mask has no known extent and drops out."""
    masks = instances.get('masks')
    if masks is None or len(masks) == 0:
        return []
    # mmdet's polygon and bitmap masks know how to become arrays; a tensor does too.
    array = masks.to_ndarray() if hasattr(masks, 'to_ndarray') else np.asarray(masks)
    if array.shape[1:] != shape:
        raise ValueError(f'instance masks are {array.shape[1:]}, the semantic map {shape} (H, W)')
    labels = [int(label) for label in instances['labels']]
    return [(mask.astype(bool), label, crowd) for mask, label in zip(array, labels, strict=True) if mask.any()]


def _read_annotations(ann_file: str, seg_prefix: Path) -> dict[Any, dict]:
    if not Path(ann_file).is_file():
        raise FileNotFoundError(f'panoptic annotation file {ann_file} does not exist')
    if not seg_prefix.is_dir():
        raise FileNotFoundError(f'folder {seg_prefix} with the panoptic maps of {ann_file} does not exist')
    try:
        content = mmengine.load(ann_file)
    except ValueError as error:
        raise ValueError(f'{ann_file} is not valid JSON: {error}') from error
    annotations = content.get('annotations') if isinstance(content, dict) else None
    if not isinstance(annotations, list) or not all('segments_info' in a for a in annotations):
        raise ValueError(f'{ann_file} is no COCO panoptic file: it needs "annotations", each with "segments_info"')
    return {annotation['image_id']: annotation for annotation in annotations}
