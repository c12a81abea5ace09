"""Panoptic segmentation: PQ from COCO panoptic files, or from instances and semantic maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmyolor_mtl.datasets.coco_classes import stuff_colours, thing_colours
from mmyolor_mtl.registry import METRICS
from mmyolor_mtl.structures import INSTANCE_OFFSET

from ..functional import class_quality, panoptic_quality, segment_statistics
from ..functional.panoptic_quality import QUALITIES
from ..panoptic_files import (
    Segments,
    colour_ids,
    load_segments,
    read_panoptic_json,
    segment_records,
    write_panoptic_json,
    write_panoptic_png,
)
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
    """Matches of one image, and its entry of the result file; None where there is nothing."""

    statistics: np.ndarray | None = None
    annotation: dict[str, Any] | None = None
    size: tuple[int, int] = (0, 0)


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
        per_class (bool): Also log a table of every category, and keep it for the JSON of ``EvalTableHook``.
        outfile_prefix (str, optional): Write all predictions in COCO's panoptic format: ``{outfile_prefix}.panoptic/``
            with PNGs named like the images (R + 256 G + 65536 B = segment id) and ``{outfile_prefix}.panoptic.json``.
        collect_device (str): Where ranks exchange results, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the figures. Defaults to 'pan'.

    Attributes:
        class_tables: PQ, SQ and RQ of every category that occurs after an evaluation with ``per_class``, by prefix.

    Raises:
        FileNotFoundError: ``ann_file`` or ``seg_prefix`` does not exist.
        ValueError: Only one of them is given, or ``ann_file`` is no COCO panoptic JSON.
    """

    default_prefix = 'pan'

    def __init__(
        self,
        ann_file: str | None = None,
        seg_prefix: str | None = None,
        *,
        per_class: bool = False,
        outfile_prefix: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if (ann_file is None) != (seg_prefix is None):
            raise ValueError(f'give both or neither: ann_file={ann_file!r}, seg_prefix={seg_prefix!r}')
        self.ann_file = ann_file
        self.seg_prefix = Path(seg_prefix or '.')
        self.per_class = per_class
        self.outfile_prefix = outfile_prefix
        self.class_tables: dict[str, ClassTable] = {}
        content: dict[str, Any] = {} if ann_file is None else read_panoptic_json(ann_file, self.seg_prefix)
        self._annotations = {annotation['image_id']: annotation for annotation in content.get('annotations', ())}
        self._file_categories = content.get('categories', ())

    @BaseMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: Mapping[str, Any]) -> None:
        """Take the classes of any project's data set; without ids, by their names in ``ann_file``."""
        self._dataset_meta = class_meta(dataset_meta, self._file_categories)

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
            img_id, result = sample.get('img_id'), _ImageResult()
            target = self._target(sample)
            if target is not None or (self.outfile_prefix is not None and 'pred_panoptic_seg' in sample):
                cause = 'the model predicts no panoptic map, remove the metric'
                prediction = self._prediction(require(sample, 'pred_panoptic_seg', type(self).__name__, cause), img_id)
                if target is not None:
                    result.statistics = self._match(prediction, target, img_id)
                if self.outfile_prefix is not None:
                    self._write_map(sample, prediction, result)
            # One result per sample, labelled or not: gathering drops the samplers' padding by position.
            self.results.append((img_id, result))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Add up the images and average over the categories.

        Args:
            results (list): Pairs of image id and its result.

        Returns:
            dict[str, float]: The figures, in 0..1.
        """
        self.class_tables = {}
        images = unique_images(results)
        if self.outfile_prefix is not None:
            self._write_json(images)
        statistics = [image.statistics for _, image in images if image.statistics is not None]
        quality = panoptic_quality(statistics, self.dataset_meta['thing_ids'])
        if not quality:
            warn_unlabelled(type(self).__name__, 'pan')
        elif self.per_class:
            names = {category['id']: category['name'] for category in self._categories()}
            categories, *values = class_quality(statistics)
            table = [
                {'class': names[category], **dict(zip(QUALITIES, row, strict=True))}
                for category, *row in zip(categories.tolist(), *(value.tolist() for value in values), strict=True)
            ]
            log_class_table('panoptic segmentation', table)
            self.class_tables = {str(self.prefix): table}
        return quality

    def _match(self, prediction: Segments, target: Segments, img_id: Any) -> np.ndarray:
        if prediction.ids.shape != target.ids.shape:
            raise ValueError(
                f'{type(self).__name__}: image {img_id}: the prediction is {prediction.ids.shape}, the ground truth '
                f'{target.ids.shape} (H, W); both must have the size of the original image'
            )
        return segment_statistics(prediction.ids, prediction.categories, target.ids, target.categories, target.crowds)

    def _class_categories(self) -> np.ndarray:
        """Panoptic category of each evaluated class, and 0 (void) as the last entry."""
        meta = self.dataset_meta
        merged = meta.get('panoptic_stuff') or {}
        stuff = [merged.get(category, category) for category in meta.get('stuff_ids', ())]
        return np.array([*meta['thing_ids'], *stuff, 0], dtype=np.int64)

    def _prediction(self, prediction: Mapping[str, Any], img_id: Any) -> Segments:
        values = to_map(prediction, 'pred_panoptic_seg', img_id)
        classes = self._class_categories()
        unique = np.flatnonzero(np.bincount(values.ravel()))
        labels = np.minimum(unique % INSTANCE_OFFSET, len(classes) - 1)
        categories = classes[labels]
        # Stuff classes of one category are one segment, so its id comes from the category; a thing's from its value.
        is_thing = labels < len(self.dataset_meta['thing_ids'])
        ids = np.where(is_thing, unique + classes.max() + 1, categories)
        table = np.zeros(int(unique[-1]) + 1, dtype=np.int64)
        table[unique] = ids
        return Segments(table[values], {int(i): int(c) for i, c in zip(ids, categories, strict=True) if c})

    def _target(self, sample: Mapping[str, Any]) -> Segments | None:
        img_id = sample.get('img_id')
        if self.ann_file is not None:
            annotation = self._annotations.get(img_id)
            if annotation is None:
                return None
            return load_segments(annotation, self.seg_prefix, self.ann_file, set(self._class_categories().tolist()))
        if not (is_labelled(sample, 'ins', 'gt_instances') and is_labelled(sample, 'sem', 'gt_sem_seg')):
            return None
        return self._build(sample)

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

    def _categories(self) -> list[dict[str, Any]]:
        """Categories of the result file. Merged stuff has the name that ``ann_file`` says, or those of its classes."""
        meta, categories = self.dataset_meta, self._class_categories()[:-1].tolist()
        published = {category['id']: category['name'] for category in self._file_categories}
        names: dict[int, list[str]] = {}
        for category, name in zip(categories, (*meta['classes'], *meta.get('stuff_classes', ())), strict=True):
            if category:
                names.setdefault(category, []).append(name)
        things = set(meta['thing_ids'])
        return [
            {'id': category, 'name': published.get(category, '/'.join(parts)), 'isthing': int(category in things)}
            for category, parts in names.items()
        ]

    def _colours(self) -> dict[int, Sequence[int]]:
        """RGB of each category; merged stuff has the colour of its first class."""
        meta = self.dataset_meta
        palette = [*(meta.get('palette') or thing_colours(len(meta['classes'])))]
        palette += meta.get('stuff_palette') or stuff_colours(len(meta.get('stuff_classes', ())))
        colours: dict[int, Sequence[int]] = {}
        for category, colour in zip(self._class_categories()[:-1].tolist(), palette, strict=True):
            colours.setdefault(category, colour)
        return colours

    def _write_map(self, sample: Mapping[str, Any], prediction: Segments, result: _ImageResult) -> None:
        name = map_name(sample, type(self).__name__)
        segments = colour_ids(prediction, self._colours())
        write_panoptic_png(Path(f'{self.outfile_prefix}.panoptic') / name, segments.ids)
        records = segment_records(segments)
        result.annotation = {'image_id': sample.get('img_id'), 'file_name': name, 'segments_info': records}
        result.size = segments.ids.shape

    def _write_json(self, images: list[tuple[Any, _ImageResult]]) -> None:
        written = [(image.annotation, image.size) for _, image in images if image.annotation is not None]
        check_names(((ann['image_id'], ann['file_name']) for ann, _ in written), type(self).__name__)
        infos = [
            {'id': ann['image_id'], 'height': size[0], 'width': size[1], 'file_name': ann['file_name']}
            for ann, size in written
        ]
        path = f'{self.outfile_prefix}.panoptic.json'
        write_panoptic_json(path, [ann for ann, _ in written], infos, self._categories())
        print_log(f'{len(written)} panoptic maps are written to {path} and {path[: -len(".json")]}', logger='current')


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
