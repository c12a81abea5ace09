"""COCO-layout data with labels for any subset of four tasks: boxes, masks, semantic maps, captions."""

import json
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.datasets import BaseDetDataset
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmyolor_mtl.registry import DATASETS

from .coco_classes import COCO_METAINFO
from .label_space import FOREIGN, TASKS, UNLABELLED, VISION_TASKS, semantic_lut
from .shapes import SHAPES_METAINFO
from .validation import (
    CHECK_LEVELS,
    Problems,
    check_captions,
    check_files,
    check_instances,
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
      ``ins`` if moreover each of its annotations has a segmentation;
    - ``sem`` if its PNG exists under ``data_prefix['seg']``;
    - ``cap`` if ``caption_file`` has a caption for it.

    An image record may narrow this down with its own list, e.g. ``"labelled_tasks": ["sem"]``. Images are the union of
    both files' lists, by id.

    Args:
        ann_file (str): Instances JSON, or a bare image list (``images`` without ``annotations``); '' for none.
        caption_file (str): Captions JSON, relative to ``data_root`` like ``ann_file``; '' for none.
        data_root (str): Root of all relative paths.
        data_prefix (dict): Folders of images (``img``) and, optionally, of semantic maps (``seg``): 8-bit PNGs named
            like the images, holding category id - 1, 255 = unlabelled.
        metainfo (dict, optional): Replaces entries of ``METAINFO``; ``classes`` goes with ``thing_ids``,
            ``stuff_classes`` with ``stuff_ids``.
        filter_cfg (dict, optional): For training: ``filter_empty_gt`` (bool) drops det-labelled images without any
            object, ``min_size`` (int, px) drops smaller images.
        check (str): What to check before training: 'header' (annotations, and header and end of every file), 'decode'
            (decodes every file too), 'none'.
        kwargs: As for mmdet's ``BaseDetDataset``: ``pipeline``, ``test_mode``, ``indices``, ``lazy_init``, ...

    Attributes:
        num_broken: Files met so far that could not be read and were replaced by others, in all worker processes.

    Raises:
        FileNotFoundError: An annotation file does not exist.
        ValueError: Neither file is given, the metainfo contradicts itself, or the check found something.
    """

    METAINFO: dict = COCO_METAINFO
    _fully_initialized: bool

    def __init__(
        self,
        ann_file: str = '',
        caption_file: str = '',
        *,
        data_root: str = '',
        data_prefix: Mapping[str, str] | None = None,
        metainfo: Mapping | None = None,
        filter_cfg: Mapping | None = None,
        check: str = 'header',
        **kwargs: Any,
    ) -> None:
        if check not in CHECK_LEVELS:
            raise ValueError(f'check={check!r} must be one of {CHECK_LEVELS}')
        self.check = check
        self.caption_file = caption_file
        if caption_file and data_root and not os.path.isabs(caption_file):
            self.caption_file = os.path.join(data_root, caption_file)
        prefix = dict(data_prefix) if data_prefix is not None else {'img': ''}
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=prefix,
            metainfo=dict(metainfo) if metainfo is not None else None,
            filter_cfg=dict(filter_cfg) if filter_cfg is not None else None,
            **kwargs,
        )

    # ------------------------------------------------------------------ reading

    def full_init(self) -> None:
        """Read the annotation files, check them and the images, filter, and pack everything for the workers."""
        if self._fully_initialized:
            return
        self._check_metainfo()
        problems = Problems(f'{type(self).__name__}({self.ann_file or self.caption_file})')
        self.data_list = self._read(problems)
        self.data_list = self.filter_data()
        if self._indices is not None:
            self.data_list = self._get_unserialized_subset(self._indices)
        # All processes read the same files; one looks at them, and its error ends the job.
        if self.check != 'none' and is_main_process():
            if not problems.found:
                check_files(self.data_list, self.check, semantic_lut(self.metainfo) != FOREIGN, problems)
            problems.raise_if_any()
        self._set_tables(np.array([_task_code(info['labelled_tasks']) for info in self.data_list], dtype=np.uint8))
        if self.serialize_data and self.data_list:
            self.data_bytes, self.data_address = self._serialize_data()
        elif self.serialize_data:
            raise ValueError(f'{problems.source}: no image is left; check ann_file, filter_cfg and indices')
        self._fully_initialized = True

    def _check_metainfo(self) -> None:
        meta = self.metainfo
        for names, ids in (('classes', 'thing_ids'), ('stuff_classes', 'stuff_ids')):
            if len(meta[names]) != len(meta[ids]):
                raise ValueError(
                    f'metainfo has {len(meta[names])} {names} but {len(meta[ids])} {ids}: give both, in the same order'
                )
        used = [*meta['thing_ids'], *meta['stuff_ids']]
        if len(set(used)) != len(used) or (used and not 1 <= min(used) <= max(used) < UNLABELLED):
            raise ValueError('thing_ids and stuff_ids of the metainfo must be distinct category ids in [1, 254]')
        self.cat_ids = list(meta['thing_ids'])
        self.cat2label = {cat_id: i for i, cat_id in enumerate(self.cat_ids)}

    def load_data_list(self) -> list[dict]:
        """Read the annotation files without looking at the images.

        Returns:
            list[dict]: One entry an image: ``img_id, img_path, height, width, seg_map_path, captions, instances,
            labelled_tasks``.
        """
        self._check_metainfo()
        problems = Problems(f'{type(self).__name__}({self.ann_file or self.caption_file})')
        data_list = self._read(problems)
        problems.raise_if_any()
        return data_list

    def _read(self, problems: Problems) -> list[dict]:
        if not self.ann_file and not self.caption_file:
            raise ValueError(
                f'{type(self).__name__} needs ann_file or caption_file. For images with semantic maps alone give an '
                'ann_file that has "images" and no "annotations"'
            )
        instances = _read_json(self.ann_file) if self.ann_file else None
        captions = _read_json(self.caption_file) if self.caption_file else None
        if self.check != 'none':
            if instances is not None:
                check_instances(instances, self.ann_file, self.cat_ids, problems)
            if captions is not None:
                check_captions(captions, self.caption_file, instances, self.ann_file, problems)
            if problems.found:
                return []
        boxed = instances is not None and 'annotations' in instances
        annotations: dict[Any, list] = defaultdict(list)
        for ann in (instances or {}).get('annotations', ()):
            annotations[ann['image_id']].append(ann)
        texts: dict[Any, list[str]] = defaultdict(list)
        for ann in (captions or {}).get('annotations', ()):
            texts[ann['image_id']].append(ann['caption'].strip())
        listed = {image['id']: image for image in (captions or {}).get('images', ())}
        in_instances = {image['id']: image for image in (instances or {}).get('images', ())}
        maps = self._list_maps()
        data_list = []
        for img_id, image in {**in_instances, **{i: m for i, m in listed.items() if i not in in_instances}}.items():
            raw = {
                'image': image,
                'annotations': annotations[img_id] if boxed and img_id in in_instances else None,
                'captions': texts[img_id],
                'maps': maps,
            }
            data_list.append(self.parse_data_info(raw))
        return data_list

    def _list_maps(self) -> set[str]:
        folder = self.data_prefix.get('seg')
        if not folder:
            return set()
        if not os.path.isdir(folder):
            raise FileNotFoundError(
                f"data_prefix['seg']: folder {folder} does not exist; leave 'seg' out if there are no semantic maps"
            )
        # One listing per folder rather than one stat per image; file_name may hold sub-folders.
        found = set()
        for root, _, files in os.walk(folder):
            found.update(os.path.join(root, name) for name in files if name.endswith(self.seg_map_suffix))
        return found

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Turn COCO's records of one image into a sample description."""
        image, annotations = raw_data_info['image'], raw_data_info['annotations']
        height, width = int(image['height']), int(image['width'])
        tasks = set()
        instances: list[dict] = []
        if annotations is not None:
            instances = [one for ann in annotations if (one := self._parse_instance(ann, height, width))]
            tasks.add('det')
            if all('mask' in one for one in instances):
                tasks.add('ins')
        seg_map_path = None
        if self.data_prefix.get('seg'):
            path = os.path.join(self.data_prefix['seg'], os.path.splitext(image['file_name'])[0] + self.seg_map_suffix)
            if os.path.normpath(path) in raw_data_info['maps'] or path in raw_data_info['maps']:
                seg_map_path = path
                tasks.add('sem')
        if raw_data_info['captions']:
            tasks.add('cap')
        if 'labelled_tasks' in image:
            unknown = set(image['labelled_tasks']) - set(TASKS)
            if unknown:
                raise ValueError(f'image {image["id"]}: labelled_tasks {sorted(unknown)} are none of {TASKS}')
            tasks &= set(image['labelled_tasks'])
        return {
            'img_id': image['id'],
            'img_path': os.path.join(self.data_prefix.get('img', ''), image['file_name']),
            'height': height,
            'width': width,
            'seg_map_path': seg_map_path if 'sem' in tasks else None,
            'captions': raw_data_info['captions'] if 'cap' in tasks else [],
            'instances': instances if 'det' in tasks else [],
            'labelled_tasks': tuple(task for task in TASKS if task in tasks),
        }

    def _parse_instance(self, ann: Mapping, height: int, width: int) -> dict | None:
        x, y, w, h = (float(v) for v in ann['bbox'])
        box = [max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)]
        if box[2] <= box[0] or box[3] <= box[1] or ann['category_id'] not in self.cat2label:
            return None
        instance = {
            'bbox': box,
            'bbox_label': self.cat2label[ann['category_id']],
            'ignore_flag': int(bool(ann.get('iscrowd', 0) or ann.get('ignore', 0))),
        }
        mask = ann.get('segmentation')
        if isinstance(mask, dict):
            instance['mask'] = mask
        elif mask:
            rings = [np.asarray(ring, dtype=np.float32) for ring in mask if len(ring) >= 6 and len(ring) % 2 == 0]
            if rings:
                instance['mask'] = rings
        return instance

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

    def _set_tables(self, codes: np.ndarray) -> None:
        self._codes = codes
        self._by_code = {int(code): np.flatnonzero(codes == code) for code in np.unique(codes)}
        # Shared memory: every worker process sees what the others found broken.
        self._broken = torch.zeros(len(codes), dtype=torch.uint8).share_memory_()

    def get_subset_(self, indices: Sequence[int] | int) -> None:
        """Keep only some samples (in place), as in mmengine's ``BaseDataset``."""
        kept = self._subset_codes(indices)
        super().get_subset_(indices)
        self._set_tables(kept)

    def get_subset(self, indices: Sequence[int] | int) -> 'COCOMultiTaskDataset':
        """A copy with only some samples, as in mmengine's ``BaseDataset``."""
        kept = self._subset_codes(indices)
        subset = super().get_subset(indices)
        subset._set_tables(kept)
        return subset

    def _subset_codes(self, indices: Sequence[int] | int) -> np.ndarray:
        self.full_init()
        if isinstance(indices, int):
            return self._codes[:indices] if indices >= 0 else self._codes[indices:]
        return self._codes[np.asarray(indices, dtype=np.int64)]

    @property
    def num_broken(self) -> int:
        """How many unreadable samples were met and replaced so far."""
        self.full_init()
        return int(self._broken.sum())

    def partners(self, tasks: Iterable[str]) -> np.ndarray:
        """Samples that carry labels of exactly the same vision tasks.

        Args:
            tasks (Iterable[str]): Labelled tasks of a sample; captions do not matter.

        Returns:
            np.ndarray: (n,) int64 indices, in ascending order.
        """
        self.full_init()
        return self._by_code.get(_task_code(tasks), np.zeros(0, dtype=np.int64))

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on one sample; None (which fetches another one) if its files are broken.

        Raises:
            RuntimeError: In test mode, where no image may be replaced: names the broken file.
        """
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
            f'{self.ann_file or self.caption_file}: {_MAX_PARTNER_TRIES} images in a row could not be loaded, the last '
            f'one is {info["img_path"]}'
        )

    def _run(self, idx: int, info: dict, transforms: Callable[[dict], Any]) -> Any:
        if self._broken[idx]:
            return None
        info['dataset'] = self
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
        self._broken[idx] = 1
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
            known = semantic_lut(self.metainfo) != FOREIGN
            fault = semantic_map_fault(info['seg_map_path'], size, known, decode=True)
            if fault:
                return f'{info["seg_map_path"]}: {fault}'
        return None


@DATASETS.register_module()
class ShapesDataset(COCOMultiTaskDataset):
    """The embedded data set Shapes (:mod:`mmyolor_mtl.datasets.shapes`), which is laid out as COCO is."""

    METAINFO: dict = SHAPES_METAINFO


def _task_code(tasks: Iterable[str]) -> int:
    return sum(1 << i for i, task in enumerate(VISION_TASKS) if task in tasks)


def _read_json(path: str) -> dict:
    if not os.path.isfile(path):
        raise FileNotFoundError(f'annotation file {path} does not exist; check data_root, ann_file and caption_file')
    with open(path, encoding='utf-8') as file:
        try:
            content = json.load(file)
        except json.JSONDecodeError as error:
            raise ValueError(f'{path} is not valid JSON: {error}') from error
    if not isinstance(content, dict) or 'images' not in content:
        raise ValueError(f'{path} is not in COCO layout: it has no "images"')
    return content
