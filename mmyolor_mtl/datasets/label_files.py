"""The files a data set consists of, checked and summed up without building the data set."""

import argparse
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from .coco_classes import COCO_METAINFO
from .coco_files import COCOFiles, metainfo_of
from .coco_records import RecordParser
from .label_space import FOREIGN, LabelMap, label_map
from .split_lists import select_split
from .validation import Problems, check_files, check_panoptic_maps

Progress = Callable[[int, int], None]
PARTS = ('instances', 'stuff', 'panoptic', 'captions')


@dataclass
class LabelFiles:
    """Paths of the images and labels of one data set; '' for what there is not.

    Attributes:
        images: Folder of the images; without one only the labels are looked at.
        instances: Instances JSON.
        captions: Captions JSON.
        maps: Folder of semantic maps, PNGs named like the images.
        stuff: COCO-Stuff's JSON.
        panoptic: Panoptic JSON.
        panoptic_maps: Folder of its PNGs.
        metainfo: Names and ids of the classes; None takes those of the files.
        file_classes, seg_map_values, split_file, split: As for ``COCOMultiTaskDataset``.
    """

    images: str = ''
    instances: str = ''
    captions: str = ''
    maps: str = ''
    stuff: str = ''
    panoptic: str = ''
    panoptic_maps: str = ''
    metainfo: Mapping | None = field(default=None, repr=False)
    file_classes: Mapping | str | None = field(default=None, repr=False)
    seg_map_values: str = 'category_id_minus_1'
    split_file: str = ''
    split: str | Sequence[str] | None = None

    @property
    def name(self) -> str:
        """What to call the data set in reports."""
        return self.instances or self.panoptic or self.stuff or self.captions

    @cached_property
    def contents(self) -> COCOFiles:
        """The parsed JSON files.

        Raises:
            FileNotFoundError, ValueError: As :meth:`COCOFiles.read`.
        """
        return COCOFiles.read(**{part: getattr(self, part) for part in PARTS})

    @cached_property
    def classes(self) -> Mapping:
        """Names and ids of things and stuff, with the keys of a metainfo.

        Without a config they come from the ``categories`` of instances and stuff JSON. COCO's are taken where there are
        none, and COCO's stuff goes with COCO's things.
        """
        if self.metainfo is not None:
            return self.metainfo
        files = self.contents
        own = COCOFiles(files.paths, instances=files.instances, stuff=files.stuff)
        if not any(content.get('categories') for _, content in own):
            own = COCOFiles(files.paths, panoptic=files.panoptic)
        if not any(content.get('categories') for _, content in own):
            return COCO_METAINFO
        found = own.classes()
        coco = dict(zip(COCO_METAINFO['thing_ids'], COCO_METAINFO['classes'], strict=True))
        of_coco = dict(zip(found['thing_ids'], found['classes'], strict=True)).items() <= coco.items()
        if of_coco and not found['stuff_ids']:
            stuff = {key: COCO_METAINFO[key] for key in ('stuff_classes', 'stuff_ids', 'extra_classes')}
            return {**metainfo_of(found), **stuff}
        return metainfo_of(found)

    @cached_property
    def labels(self) -> LabelMap:
        """What the ids in the files mean."""
        classes = self.contents.classes() if self.file_classes == 'file' else self.file_classes
        return label_map(self.classes, cast(Mapping | None, classes), self.seg_map_values)

    @property
    def semantic_lut(self) -> np.ndarray:
        """(256,) uint8 table from values of a semantic PNG to labels, as data sets have it."""
        return self.labels.lut

    @cached_property
    def infos(self) -> list[dict]:
        """Descriptions of the samples as the data set has them; ``img_path`` is None without a folder of images.

        Raises:
            FileNotFoundError, ValueError: As :class:`~mmyolor_mtl.datasets.coco_records.RecordParser`.
        """
        folders = {'img': self.images, 'seg': self.maps, 'panoptic': self.panoptic_maps}
        prefix = {name: folder for name, folder in folders.items() if folder}
        images = self.contents.images()
        if self.split_file:
            images = select_split(images, self.split_file, self.split)
        parser = RecordParser(self.contents, self.labels, prefix)
        infos = [parser.parse(image) for image in images.values()]
        return infos if self.images else [{**info, 'img_path': None} for info in infos]

    def coverage(self) -> Counter:
        """How many images carry labels of which tasks: a Counter by tuple of tasks."""
        return Counter(info['labelled_tasks'] for info in self.infos)

    def check(self, level: str = 'decode', progress: Progress | None = None) -> Problems:
        """Check all files.

        Args:
            level (str): 'header' reads headers and ends of images and maps, 'decode' decodes them.
            progress (Callable, optional): Called with the number of images checked and of all.

        Returns:
            Problems: What was found. Images and maps are looked at only if the JSON files are free of errors.
        """
        problems = Problems(self.name)
        try:
            self.contents.check(self.labels, problems)
            for folder in (self.images, self.maps, self.panoptic_maps):
                if folder and not os.path.isdir(folder):
                    problems.add(f'{folder}: no such folder', 'folder')
            if not problems.found:
                self._check_folders(level, problems, progress)
        except (OSError, ValueError) as error:  # files that cannot be understood, classes that contradict each other
            problems.add(str(error), 'annotation file')
        return problems

    def _check_folders(self, level: str, problems: Problems, progress: Progress | None) -> None:
        check_files(self.infos, level, self.labels.lut != FOREIGN, problems, progress)
        if self.contents.panoptic is not None:
            check_panoptic_maps(self.contents.panoptic, self.panoptic_maps, level, problems, progress)
        if self.maps and not self.split_file:
            names = {os.path.splitext(image['file_name'])[0] + '.png' for image in self.contents.images().values()}
            for path in sorted(Path(self.maps).rglob('*.png')):
                if path.relative_to(self.maps).as_posix() not in names:
                    problems.warn(f'{path}: no file lists an image of this name', 'orphan map')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a data set's files to a command line."""
    group = parser.add_argument_group('files in the layout of COCO')
    group.add_argument('--images', default='', metavar='DIR', help='folder of the images')
    group.add_argument('--instances', default='', metavar='FILE', help='boxes and masks (JSON)')
    group.add_argument('--captions', default='', metavar='FILE', help='captions (JSON)')
    group.add_argument('--maps', default='', metavar='DIR', help='folder of semantic maps (PNG)')
    group.add_argument('--stuff', default='', metavar='FILE', help="COCO-Stuff's annotations (JSON)")
    group.add_argument(
        '--panoptic', nargs=2, default=('', ''), metavar=('FILE', 'DIR'), help='panoptic JSON and folder of its PNGs'
    )


def from_arguments(args: argparse.Namespace, config: str | None) -> list[LabelFiles]:
    """The data sets that a command line names.

    Args:
        args (argparse.Namespace): With the options of :func:`add_arguments`.
        config (str, optional): Path of a config, which excludes them.

    Raises:
        ValueError: Neither or both ways are used, or the config has no suitable data set.
        FileNotFoundError: No such config.
    """
    files = LabelFiles(
        args.images, args.instances, args.captions, args.maps, args.stuff, args.panoptic[0], args.panoptic[1]
    )
    if bool(config) == bool(files.name):
        raise ValueError('give either a config, or files: --instances, --captions, --stuff or --panoptic')
    return from_config(config) if config else [files]


def from_config(path: str) -> list[LabelFiles]:
    """The files of every data set that a config trains, validates or tests on.

    Args:
        path (str): The config.

    Raises:
        FileNotFoundError: No such config.
        ValueError: None of its data sets is a ``COCOMultiTaskDataset``.
    """
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    if not os.path.isfile(path):
        raise FileNotFoundError(f'there is no config {path}')
    cfg = Config.fromfile(path)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    found: list[LabelFiles] = []
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for one in _datasets((cfg.get(loader) or {}).get('dataset')):
            if one not in found:
                found.append(one)
    if not found:
        raise ValueError(f'{path}: none of its data sets is a COCOMultiTaskDataset')
    return found


def _datasets(cfg: Any) -> Iterator[LabelFiles]:
    """Data sets of a config, those inside wrappers too."""
    from mmyolor_mtl.registry import DATASETS

    from .coco_mtl import COCOMultiTaskDataset

    if isinstance(cfg, (list, tuple)):
        for one in cfg:
            yield from _datasets(one)
    elif isinstance(cfg, Mapping) and ('dataset' in cfg or 'datasets' in cfg):
        yield from _datasets(cfg.get('dataset'))
        yield from _datasets(cfg.get('datasets'))
    elif isinstance(cfg, Mapping):
        dataset = DATASETS.build({**cfg, 'lazy_init': True, 'pipeline': []})
        if isinstance(dataset, COCOMultiTaskDataset):
            yield LabelFiles(
                images=dataset.data_prefix.get('img', ''),
                instances=dataset.ann_file,
                captions=dataset.caption_file,
                maps=dataset.data_prefix.get('seg', ''),
                stuff=dataset.stuff_file,
                panoptic=dataset.panoptic_file,
                panoptic_maps=dataset.data_prefix.get('panoptic', ''),
                metainfo=dataset.metainfo,
                file_classes=dataset.file_classes,
                seg_map_values=dataset.seg_map_values,
                split_file=dataset.split_file,
                split=dataset.split,
            )
