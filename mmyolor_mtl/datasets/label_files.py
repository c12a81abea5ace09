"""The files a data set consists of, checked and summed up without building the data set."""

import argparse
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .coco_classes import COCO_METAINFO
from .label_space import FOREIGN, UNLABELLED, semantic_lut
from .validation import Problems, check_captions, check_files, check_instances, check_panoptic, check_panoptic_maps
from .validation.records import is_id, layout_is_sound, read_annotation_file

Progress = Callable[[int, int], None]
PARTS = ('instances', 'captions', 'stuff', 'panoptic')


@dataclass
class LabelFiles:
    """Paths of the images and labels of one data set; '' for what there is not.

    Attributes:
        images: Folder of the images.
        instances: Instances JSON.
        captions: Captions JSON.
        maps: Folder of semantic maps, PNGs named like the images.
        stuff: COCO-Stuff's JSON.
        panoptic: Panoptic JSON.
        panoptic_maps: Folder of its PNGs.
        metainfo: Class names and ids; by default they come from the files' ``categories``.
    """

    images: str = ''
    instances: str = ''
    captions: str = ''
    maps: str = ''
    stuff: str = ''
    panoptic: str = ''
    panoptic_maps: str = ''
    metainfo: Mapping | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """What to call the data set in reports."""
        return self.instances or self.captions or self.stuff or self.panoptic

    @cached_property
    def contents(self) -> dict[str, dict]:
        """Parsed JSON files by ``PARTS``, those that there are.

        Raises:
            FileNotFoundError, ValueError: As :func:`read_annotation_file`.
        """
        return {part: read_annotation_file(getattr(self, part)) for part in PARTS if getattr(self, part)}

    @cached_property
    def classes(self) -> tuple[dict[int, str], dict[int, str]]:
        """Names of things and of stuff by category id; COCO's if the files do not tell."""
        coco = COCO_METAINFO if self.metainfo is None else self.metainfo
        things = dict(zip(coco['thing_ids'], coco['classes'], strict=True))
        stuff = dict(zip(coco['stuff_ids'], coco['stuff_classes'], strict=True))
        if self.metainfo is not None:
            return things, stuff
        own, own_stuff = self._categories('instances')
        own_stuff = {**own_stuff, **self._categories('stuff')[0]}
        if own and not own.items() <= things.items():  # not COCO: its stuff is none of ours
            stuff = {}
        return own or things, own_stuff or stuff

    def _categories(self, part: str) -> tuple[dict[int, str], dict[int, str]]:
        things, stuff = {}, {}
        for category in self.contents.get(part, {}).get('categories') or ():
            if isinstance(category, dict) and type(category.get('id')) is int:
                chosen = stuff if part == 'instances' and category.get('isthing') == 0 else things
                chosen[category['id']] = str(category.get('name', category['id']))
        return things, stuff

    @cached_property
    def known_values(self) -> np.ndarray:
        """(256,) bool, which values a semantic map may hold."""
        things, stuff = self.classes
        ids = {'thing_ids': [i for i in things if 0 < i < UNLABELLED], 'stuff_ids': [i for i in stuff if 0 < i < 255]}
        extra = COCO_METAINFO if self.metainfo is None else self.metainfo
        return semantic_lut({**ids, 'extra_classes': extra.get('extra_classes')}) != FOREIGN

    @cached_property
    def records(self) -> dict[Any, Mapping]:
        """Image records of all JSON files by id; of those in several files, the first in the order of ``PARTS``."""
        found: dict[Any, Mapping] = {}
        for part in PARTS:
            for image in self.contents.get(part, {}).get('images', ()):
                if is_id(image.get('id')):
                    found.setdefault(image['id'], image)
        return found

    @cached_property
    def map_paths(self) -> dict[Any, str]:
        """Paths of the semantic maps that exist, by image id."""
        if not self.maps:
            return {}
        there = _list_files(self.maps)
        wanted = {i: os.path.splitext(image['file_name'])[0] + '.png' for i, image in self.records.items()}
        return {i: os.path.join(self.maps, name) for i, name in wanted.items() if os.path.normpath(name) in there}

    def infos(self) -> list[dict]:
        """One entry an image for :func:`~mmyolor_mtl.datasets.validation.check_files`."""
        return [
            {
                'img_id': image_id,
                'img_path': os.path.join(self.images, image['file_name']) if self.images else None,
                'height': image['height'],
                'width': image['width'],
                'seg_map_path': self.map_paths.get(image_id),
            }
            for image_id, image in self.records.items()
        ]

    def coverage(self) -> Counter:
        """How many images carry which labels.

        Returns:
            Counter: Images by tuple of tasks, from 'det', 'ins', 'sem', 'cap', 'pan'.
        """
        tasks: dict[Any, set[str]] = defaultdict(set)
        boxed = self.contents.get('instances', {})
        if 'annotations' in boxed:
            bare = {ann.get('image_id') for ann in boxed['annotations'] if not ann.get('segmentation')}
            for image in boxed['images']:
                tasks[image.get('id')] |= {'det'} if image.get('id') in bare else {'det', 'ins'}
        for image_id in (*self.map_paths, *(image['id'] for image in self.contents.get('stuff', {}).get('images', ()))):
            tasks[image_id].add('sem')
        for ann in self.contents.get('captions', {}).get('annotations', ()):
            if isinstance(ann.get('caption'), str) and ann['caption'].strip():
                tasks[ann.get('image_id')].add('cap')
        for ann in self.contents.get('panoptic', {}).get('annotations', ()):
            tasks[ann.get('image_id')].add('pan')
        order = ('det', 'ins', 'sem', 'cap', 'pan')
        narrowed = ((tasks[i], set(image.get('labelled_tasks', order)) | {'pan'}) for i, image in self.records.items())
        return Counter(tuple(task for task in order if task in own & allowed) for own, allowed in narrowed)

    def check(self, level: str = 'decode', progress: Progress | None = None) -> Problems:
        """Check all files.

        Args:
            level (str): 'header' reads headers and ends of images and maps, 'decode' decodes them.
            progress (Callable, optional): Called with the number of images checked and of all.

        Returns:
            Problems: What was found. Files are looked at only if the JSON is free of errors.
        """
        problems = Problems(self.name)
        try:
            contents = self.contents
        except (OSError, ValueError) as error:
            problems.add(str(error), 'annotation file')
            return problems
        sound = [layout_is_sound(content, getattr(self, part), problems) for part, content in contents.items()]
        if not all(sound):
            return problems
        self._check_records(contents, problems)
        if not problems.found:
            self._check_folders(level, problems, progress)
        return problems

    def _check_records(self, contents: Mapping[str, dict], problems: Problems) -> None:
        things, stuff = self.classes
        if 'instances' in contents:
            check_instances(contents['instances'], self.instances, things, problems)
        if 'captions' in contents:
            check_captions(contents['captions'], self.captions, contents.get('instances'), self.instances, problems)
        if 'stuff' in contents:
            known = [*stuff, *(i for i in (183,) if i not in stuff)]  # COCO's 'other', which is no class
            check_instances(contents['stuff'], self.stuff, known, problems, classes='stuff_ids')
        if 'panoptic' in contents:
            check_panoptic(contents['panoptic'], self.panoptic, None, problems)

    def _check_folders(self, level: str, problems: Problems, progress: Progress | None) -> None:
        for folder in (self.images, self.maps, self.panoptic_maps):
            if folder and not os.path.isdir(folder):
                problems.add(f'{folder}: no such folder', 'folder')
        if problems.found:
            return
        if self.maps:
            self._warn_of_orphan_maps(problems)
        check_files(self.infos(), level, self.known_values, problems, progress)
        if 'panoptic' in self.contents and self.panoptic_maps:
            check_panoptic_maps(self.contents['panoptic'], self.panoptic_maps, level, problems, progress)

    def _warn_of_orphan_maps(self, problems: Problems) -> None:
        used = {os.path.normpath(os.path.relpath(path, self.maps)) for path in self.map_paths.values()}
        for name in sorted(_list_files(self.maps) - used):
            problems.warn(f'{os.path.join(self.maps, name)}: no file lists an image of this name', 'orphan map')


def _list_files(folder: str) -> set[str]:
    """Paths of all PNGs below a folder, relative to it."""
    found = set()
    for root, _, files in os.walk(folder):
        found.update(os.path.relpath(os.path.join(root, name), folder) for name in files if name.endswith('.png'))
    return found


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
                metainfo=dataset.metainfo,
            )
