"""COCO-layout data with labels for any subset of four tasks: boxes, masks, semantic maps, captions."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmyolor_mtl.registry import DATASETS

from .coco_classes import COCO_METAINFO
from .coco_files import COCOFiles, metainfo_of
from .coco_records import RecordParser
from .label_space import FOREIGN, SEG_MAP_VALUES, LabelMap, check_classes, label_map
from .panoptic_source import panoptic_map_fault
from .sample_index import SampleIndex
from .samplers import seed_visit
from .shapes import SHAPES_METAINFO
from .split_lists import select_split
from .validation import (
    CHECK_LEVELS,
    Problems,
    check_files,
    check_panoptic_maps,
    image_fault,
    is_truncated,
    semantic_map_fault,
)

_MAX_PARTNER_TRIES = 20


@DATASETS.register_module()
class COCOMultiTaskDataset(BaseDetDataset):
    """Images with boxes and masks, semantic maps and captions in COCO's files, each of them optional.

    An image is labelled for

    - ``det`` if ``ann_file`` lists it and has an ``annotations`` part (no annotation then means no object), and for
      ``ins`` if moreover each of its annotations has a segmentation; or if ``panoptic_file`` has it;
    - ``sem`` if its PNG exists under ``data_prefix['seg']``; or else ``stuff_file`` lists it, then its map is painted
      from stuff and things (:mod:`~mmyolor_mtl.datasets.semantic_maps`); or else ``panoptic_file`` has it;
    - ``cap`` if ``caption_file`` has a caption for it.

    An image record may narrow this down with its own list, e.g. ``"labelled_tasks": ["sem"]``. Images are the union of
    all files' lists, by id. Sources: REFERENCE_SPEC 2.3, 4.1, 4.4.

    Args:
        ann_file (str): Instances JSON, or a bare image list (``images`` without ``annotations``); '' for none.
        caption_file (str): Captions JSON, relative to ``data_root`` like all files; '' for none.
        stuff_file (str): Stuff JSON of COCO-Stuff; '' for none.
        panoptic_file (str): Panoptic JSON; its PNGs lie in ``data_prefix['panoptic']``; '' for none.
        split_file (str): Chooses images, see :func:`~mmyolor_mtl.datasets.split_lists.select_split`; '' for all.
        split (str | Sequence[str], optional): Splits of Karpathy's list, such as ``('train', 'restval')``.
        data_root (str): Root of all relative paths.
        data_prefix (dict): Folders of images (``img``) and, optionally, of semantic maps (``seg``, 8-bit PNGs named
            like the images) and panoptic PNGs (``panoptic``).
        metainfo (dict | str, optional): What the model trains on: replaces entries of ``METAINFO``; ``classes`` goes
            with ``thing_ids``, ``stuff_classes`` with ``stuff_ids``. 'file' takes all of it from the files.
        file_classes (dict | str, optional): Names and ids that the files use, where these are not those of the
            metainfo: a dict with ``classes, thing_ids, stuff_classes, stuff_ids``, or 'file' for the files' own
            ``categories``. Classes are then found by name; one that the metainfo lacks is left out, its pixels are
            unlabelled.
        seg_map_values (str): How semantic PNGs are written: 'category_id_minus_1' (COCO-Stuff), 'category_id' (0 =
            unlabelled) or 'contiguous' (things, then stuff); 255 is unlabelled in all of them.
        index_by (str): 'image', or 'caption' for one sample a caption (images without any are one sample); a test set
            is always indexed by image.
        filter_cfg (dict, optional): For training: ``filter_empty_gt`` (bool) drops det-labelled images without any
            object, ``min_size`` (int, px) drops smaller images.
        check (str): What to check before training: 'header' (annotations, and header and end of every file), 'decode'
            (decodes every file too), 'none'.
        kwargs: As for mmdet's ``BaseDetDataset``: ``pipeline``, ``test_mode``, ``indices`` (of images), ...

    Attributes:
        num_broken: Files met so far that could not be read and were replaced by others, in all worker processes.
        semantic_lut: (256,) uint8, values of a semantic PNG to labels.

    Raises:
        FileNotFoundError: An annotation file does not exist.
        ValueError: No file is given, arguments or classes contradict each other, or the check found something.
    """

    METAINFO: dict = COCO_METAINFO
    _fully_initialized: bool

    def __init__(
        self,
        ann_file: str = '',
        caption_file: str = '',
        *,
        stuff_file: str = '',
        panoptic_file: str = '',
        split_file: str = '',
        split: str | Sequence[str] | None = None,
        data_root: str = '',
        data_prefix: Mapping[str, str] | None = None,
        metainfo: Mapping | str | None = None,
        file_classes: Mapping | str | None = None,
        seg_map_values: str = 'category_id_minus_1',
        index_by: str = 'image',
        filter_cfg: Mapping | None = None,
        check: str = 'header',
        **kwargs: Any,
    ) -> None:
        _check_choice('check', check, CHECK_LEVELS)
        _check_choice('seg_map_values', seg_map_values, SEG_MAP_VALUES)
        _check_choice('index_by', index_by, ('image', 'caption'))
        if stuff_file and panoptic_file:
            raise ValueError('stuff_file and panoptic_file both say what is stuff: give one of them')
        if metainfo == 'file' and file_classes not in (None, 'file'):
            raise ValueError("metainfo='file' takes the files' classes as they are: leave file_classes out")
        for name, value in (('metainfo', metainfo), ('file_classes', file_classes)):
            if isinstance(value, str) and value != 'file':
                raise ValueError(f"{name}={value!r} must be a dict or 'file'")
        self.check, self.seg_map_values, self.index_by, self.split = check, seg_map_values, index_by, split
        self.file_classes = 'file' if metainfo == 'file' else file_classes
        self.caption_file, self.stuff_file, self.panoptic_file, self.split_file, instances = (
            os.path.join(data_root, path) if path else ''
            for path in (caption_file, stuff_file, panoptic_file, split_file, ann_file)
        )
        self._files: COCOFiles | None = None
        if metainfo == 'file':
            self._files = self._read_files(instances)
            metainfo = metainfo_of(self._files.classes())
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=dict(data_prefix) if data_prefix is not None else {'img': ''},
            metainfo=dict(cast(Mapping, metainfo)) if metainfo is not None else None,
            filter_cfg=dict(filter_cfg) if filter_cfg is not None else None,
            **kwargs,
        )

    # ------------------------------------------------------------------ reading

    def full_init(self) -> None:
        """Read the annotation files, check them and the images, filter, and pack everything for the workers."""
        if self._fully_initialized:
            return
        check_classes(self.metainfo)
        problems = Problems(f'{type(self).__name__}({self._source})')
        files = self._files or self._read_files(self.ann_file)
        self._files = None
        self.data_list = self._parse(files, problems)
        self.data_list = self.filter_data()
        if self._indices is not None:
            self.data_list = self._get_unserialized_subset(self._indices)
        # All processes read the same files; one looks at them, and its error ends the job.
        if self.check != 'none' and is_main_process():
            if not problems.found:
                self._check_images(files, problems)
            problems.raise_if_any()
        if not self.data_list:
            raise ValueError(f'{problems.source}: no image is left; check ann_file, filter_cfg and indices')
        self._samples = SampleIndex.of(self.data_list, self.index_by == 'caption' and not self.test_mode)
        if self.serialize_data:
            del files
            self.data_bytes, self.data_address = self._serialize_data()
        self._fully_initialized = True

    @property
    def _source(self) -> str:
        """The file that names the data set in messages."""
        return self.ann_file or self.panoptic_file or self.stuff_file or self.caption_file

    def load_data_list(self) -> list[dict]:
        """Read the annotation files without looking at the images.

        Returns:
            list[dict]: One entry an image, see :meth:`~mmyolor_mtl.datasets.coco_records.RecordParser.parse`.
        """
        check_classes(self.metainfo)
        problems = Problems(f'{type(self).__name__}({self._source})')
        data_list = self._parse(self._read_files(self.ann_file), problems)
        problems.raise_if_any()
        return data_list

    def _read_files(self, ann_file: str) -> COCOFiles:
        files = COCOFiles.read(
            instances=ann_file, stuff=self.stuff_file, panoptic=self.panoptic_file, captions=self.caption_file
        )
        if not files.paths:
            raise ValueError(
                f'{type(self).__name__} needs ann_file or caption_file, stuff_file or panoptic_file. For images with '
                'semantic maps alone give an ann_file that has "images" and no "annotations"'
            )
        return files

    def _parse(self, files: COCOFiles, problems: Problems) -> list[dict]:
        self._labels = self._label_map(files)
        if self.check != 'none':
            files.check(self._labels, problems)
            if problems.found:
                return []
        images = files.images()
        if self.split_file:
            images = select_split(images, self.split_file, self.split)
        parser = RecordParser(files, self._labels, self.data_prefix, self.seg_map_suffix)
        return [parser.parse(image) for image in images.values()]

    def _label_map(self, files: COCOFiles) -> LabelMap:
        classes = files.classes() if self.file_classes == 'file' else self.file_classes
        labels = label_map(self.metainfo, cast(Mapping | None, classes), self.seg_map_values)
        dropped = labels.dropped if classes is not None else files.names_beyond(labels)
        if dropped:
            print_log(
                f'{self._source}: the metainfo lacks {len(dropped)} classes of the files, which are left out (no '
                f'objects, unlabelled pixels): {", ".join(dropped)}',
                logger='current',
            )
        in_order = [*labels.things.values()] == [*range(len(self.metainfo['classes']))]
        if self.test_mode and self.ann_file and not in_order:
            print_log(
                f'{self.ann_file} lacks things of the metainfo, or lists them in another order. CocoMetric of mmdet '
                'numbers the classes as its ann_file lists them; DetectionMetric finds them by name',
                logger='current',
                level=logging.WARNING,
            )
        return labels

    def _check_images(self, files: COCOFiles, problems: Problems) -> None:
        check_files(self.data_list, self.check, self._labels.lut != FOREIGN, problems)
        used = {info['img_id'] for info in self.data_list if 'panoptic' in info}
        if used:
            assert files.panoptic is not None
            kept = [ann for ann in files.panoptic['annotations'] if ann['image_id'] in used]
            content = {**files.panoptic, 'annotations': kept}
            check_panoptic_maps(content, self.data_prefix['panoptic'], self.check, problems)

    def filter_data(self) -> list[dict]:
        """Apply ``filter_cfg`` (training only)."""
        if self.test_mode or not self.filter_cfg:
            return self.data_list
        drop_empty = self.filter_cfg.get('filter_empty_gt', False)
        min_size = self.filter_cfg.get('min_size', 0)
        return [
            info
            for info in self.data_list
            if min(info['height'], info['width']) >= min_size
            and not (drop_empty and 'det' in info['labelled_tasks'] and not info['instances'])
        ]

    # ------------------------------------------------------------------ serving

    def __len__(self) -> int:
        """Number of samples."""
        self.full_init()
        return len(self._samples)

    def get_data_info(self, idx: int) -> dict:
        """Description of a sample, with ``dataset`` (this), and ``caption_index`` if it is one caption of its image."""
        self.full_init()
        image, caption = self._samples.locate(idx)
        info = super().get_data_info(image)
        info['sample_idx'] = idx % len(self)
        info['dataset'] = self
        if caption is not None:
            info['caption_index'] = caption
        return info

    def get_subset_(self, indices: Sequence[int] | int) -> None:
        """Keep only some samples (in place), as in mmengine's ``BaseDataset``."""
        self.full_init()
        images, samples = self._samples.subset(indices)
        super().get_subset_(images)
        self._samples = samples

    def get_subset(self, indices: Sequence[int] | int) -> 'COCOMultiTaskDataset':
        """A copy with only some samples, as in mmengine's ``BaseDataset``."""
        self.full_init()
        images, samples = self._samples.subset(indices)
        subset = super().get_subset(images)
        subset._samples = samples
        return subset

    @property
    def semantic_lut(self) -> np.ndarray:
        """(256,) uint8 table from values of a semantic PNG to labels, ``FOREIGN`` for a value of no class."""
        self.full_init()
        return self._labels.lut

    @property
    def num_broken(self) -> int:
        """How many unreadable samples were met and replaced so far."""
        self.full_init()
        return self._samples.num_broken

    def partners(self, tasks: Iterable[str]) -> np.ndarray:
        """Samples that carry labels of exactly the same vision tasks, one for each image.

        Args:
            tasks (Iterable[str]): Labelled tasks of a sample; captions do not matter.

        Returns:
            np.ndarray: (n,) int64 indices, in ascending order.
        """
        self.full_init()
        return self._samples.partners(tasks)

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on one sample; None (which fetches another one) if its files are broken.

        Raises:
            RuntimeError: In test mode, where no image may be replaced: names the broken file.
        """
        seed_visit(idx)
        info = self.get_data_info(idx)
        return self._run(idx, info, self.pipeline)

    def load_for_mix(self, index: int, transforms: Callable[[dict], dict | None]) -> dict:
        """Load a partner for a transform that mixes images; a broken one is replaced by another of its kind.

        Args:
            index (int): A sample, e.g. one of :meth:`partners`.
            transforms (Callable): Usually a ``Compose`` that loads image and annotations.

        Returns:
            dict: What the transforms made of it.

        Raises:
            RuntimeError: No readable partner was found.
        """
        for _ in range(_MAX_PARTNER_TRIES):
            info = self.get_data_info(index)
            results = self._run(index, info, transforms)
            if results is not None:
                return results
            index = int(np.random.choice(self.partners(info['labelled_tasks'])))
        raise RuntimeError(
            f'{self._source}: {_MAX_PARTNER_TRIES} images in a row could not be loaded, the last one is '
            f'{info["img_path"]}'
        )

    def _run(self, idx: int, info: dict, transforms: Callable[[dict], Any]) -> Any:
        if self._samples.is_broken(idx):
            return None
        fault = None
        try:
            if os.path.isfile(info['img_path']) and is_truncated(info['img_path']):
                fault = f'{info["img_path"]}: the end of the file is missing'
            else:
                return transforms(info)
        except Exception:
            # Only files are forgiven; an error with readable files is a bug and must not be hidden.
            fault = self._find_fault(self.get_data_info(idx))
            if fault is None:
                raise
        if self.test_mode:
            raise RuntimeError(f'image {info["img_id"]} cannot be evaluated: {fault}')
        self._samples.mark_broken(idx)
        print_log(
            f'image {info["img_id"]} is left out of training: {fault} ({self.num_broken} such images so far)',
            logger='current',
            level=logging.WARNING,
        )
        return None

    def _find_fault(self, info: Mapping) -> str | None:
        size = (info['height'], info['width'])
        fault = image_fault(info['img_path'], size, decode=True)
        if fault:
            return f'{info["img_path"]}: {fault}'
        if info['seg_map_path']:
            fault = semantic_map_fault(info['seg_map_path'], size, self.semantic_lut != FOREIGN, decode=True)
            if fault:
                return f'{info["seg_map_path"]}: {fault}'
        if 'panoptic' in info:
            return panoptic_map_fault(info['panoptic']['path'], size, info['panoptic']['segments'])
        return None


@DATASETS.register_module()
class ShapesDataset(COCOMultiTaskDataset):
    """The embedded data set Shapes (:mod:`mmyolor_mtl.datasets.shapes`), which is laid out as COCO is."""

    METAINFO: dict = SHAPES_METAINFO


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f'{name}={value!r} must be one of {choices}')
