"""From COCO's records of one image to the description of a sample."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .coco_files import COCOFiles
from .label_space import TASKS, UNLABELLED, LabelMap
from .semantic_maps import STUFF_OTHER_ID


class RecordParser:
    """Describes the samples of a data set, one after the other.

    Args:
        files (COCOFiles): Its annotation files.
        labels (LabelMap): What their ids mean.
        data_prefix (Mapping[str, str]): Folders ``img``, and ``seg`` and ``panoptic`` where there are such maps.
        seg_map_suffix (str): Ending of the semantic maps' names.

    Raises:
        FileNotFoundError: The folder ``seg`` does not exist.
        ValueError: There is a panoptic JSON and no folder ``panoptic``.
    """

    def __init__(
        self, files: COCOFiles, labels: LabelMap, data_prefix: Mapping[str, str], seg_map_suffix: str = '.png'
    ) -> None:
        self.labels = labels
        self.data_prefix = data_prefix
        self.seg_map_suffix = seg_map_suffix
        self._maps = _list_files(data_prefix.get('seg'), seg_map_suffix)
        if files.panoptic is not None and 'panoptic' not in data_prefix:
            raise ValueError(f"{files.paths['panoptic']} needs data_prefix['panoptic'], the folder of its PNGs")
        self._instances = _group(files.instances)
        self._stuff = _group(files.stuff)
        self._panoptic = {ann['image_id']: ann for ann in (files.panoptic or {}).get('annotations', ())}
        self._captions = _group(files.captions)

    def parse(self, image: Mapping) -> dict[str, Any]:
        """Describe a sample.

        Args:
            image (Mapping): COCO's record of the image.

        Returns:
            dict: ``img_id, img_path, height, width, labelled_tasks, captions, instances, seg_map_path``; further
            ``segments`` or ``panoptic`` where the semantic map, or the objects, have to be made of those.

        Raises:
            ValueError: Its ``labelled_tasks`` are unknown.
        """
        size = int(image['height']), int(image['width'])
        info: dict[str, Any] = {
            'img_id': image['id'],
            'img_path': os.path.join(self.data_prefix.get('img', ''), image['file_name']),
            'height': size[0],
            'width': size[1],
            'captions': [text for ann in self._captions.get(image['id'], ()) if (text := ann['caption'].strip())],
        }
        drawn = self._add_objects(info, size)
        self._add_semantic_map(info, image['file_name'], drawn)
        self._set_tasks(info, image)
        return info

    def _add_objects(self, info: dict, size: tuple[int, int]) -> list[dict]:
        """Add ``instances``, None if the image has no such labels; returns what they paint, in order."""
        info['instances'] = None
        drawn: list[dict] = []
        if info['img_id'] in self._instances:
            info['instances'] = []
            for ann in self._instances[info['img_id']]:
                if ann['category_id'] not in self.labels.thing_ids:
                    continue
                mask = _parse_mask(ann.get('segmentation'))
                instance = self._parse_object(ann, size)
                if instance is not None:
                    info['instances'].append(instance if mask is None else {**instance, 'mask': mask})
                if mask is not None and not ann.get('iscrowd'):
                    drawn.append({'label': self.labels.pixels[ann['category_id']], 'mask': mask})
        elif info['img_id'] in self._panoptic:
            found = [
                {**instance, 'segment_id': segment['id']}
                for segment in self._panoptic[info['img_id']]['segments_info']
                if (instance := self._parse_object(segment, size)) is not None
            ]
            info['instances'] = found
        return drawn

    def _parse_object(self, ann: Mapping, size: tuple[int, int]) -> dict | None:
        """Box, label and flag; None for what is no target."""
        label = self.labels.things.get(ann['category_id'])
        if label is None:
            return None
        x, y, w, h = (float(v) for v in ann['bbox'])
        box = [max(x, 0.0), max(y, 0.0), min(x + w, size[1]), min(y + h, size[0])]
        if box[2] <= box[0] or box[3] <= box[1]:
            return None
        return {'bbox': box, 'bbox_label': label, 'ignore_flag': int(bool(ann.get('iscrowd') or ann.get('ignore')))}

    def _add_semantic_map(self, info: dict, file_name: str, drawn: list[dict]) -> None:
        """Add the source of the semantic map: a PNG, else what to paint, else the panoptic map."""
        info['seg_map_path'] = self._seg_map_path(file_name)
        if info['seg_map_path'] is None and info['img_id'] in self._stuff:
            stuff = [
                {'label': self.labels.pixels.get(ann['category_id'], UNLABELLED), 'mask': mask}
                for ann in self._stuff[info['img_id']]
                if ann['category_id'] not in self.labels.thing_ids
                and ann['category_id'] != STUFF_OTHER_ID
                and (mask := _parse_mask(ann.get('segmentation'))) is not None
            ]
            info['segments'] = stuff + drawn
        if info['img_id'] in self._panoptic:
            ann = self._panoptic[info['img_id']]
            info['panoptic'] = {
                'path': os.path.join(self.data_prefix['panoptic'], ann['file_name']),
                'segments': [
                    (one['id'], self.labels.pixels.get(one['category_id'], UNLABELLED)) for one in ann['segments_info']
                ],
            }

    def _seg_map_path(self, file_name: str) -> str | None:
        if not self.data_prefix.get('seg'):
            return None
        path = os.path.join(self.data_prefix['seg'], os.path.splitext(file_name)[0] + self.seg_map_suffix)
        return path if os.path.normpath(path) in self._maps else None

    def _set_tasks(self, info: dict, image: Mapping) -> None:
        """Add ``labelled_tasks``, and empty what the image is not labelled for."""
        instances = info['instances']
        tasks = set()
        if instances is not None:
            tasks.add('det')
            if all('mask' in one or 'segment_id' in one for one in instances):
                tasks.add('ins')
        if info['seg_map_path'] is not None or 'segments' in info or 'panoptic' in info:
            tasks.add('sem')
        if info['captions']:
            tasks.add('cap')
        if 'labelled_tasks' in image:
            unknown = set(image['labelled_tasks']) - set(TASKS)
            if unknown:
                raise ValueError(f'image {image["id"]}: labelled_tasks {sorted(unknown)} are none of {TASKS}')
            tasks &= set(image['labelled_tasks'])
        if 'det' not in tasks:
            info['instances'] = []
        if 'sem' not in tasks:
            info['seg_map_path'] = None
            info.pop('segments', None)
        from_segments = any('segment_id' in one for one in info['instances'])
        if not from_segments and ('sem' not in tasks or info['seg_map_path'] or 'segments' in info):
            info.pop('panoptic', None)
        if 'cap' not in tasks:
            info['captions'] = []
        info['labelled_tasks'] = tuple(task for task in TASKS if task in tasks)


def _parse_mask(segmentation: Any) -> dict | list[np.ndarray] | None:
    """Run lengths as they are, polygons as arrays; None if there is nothing of the kind."""
    if isinstance(segmentation, dict):
        return segmentation
    # Coordinates keep their precision: pycocotools rounds at fifths of a pixel, where COCO's two decimals often lie.
    rings = [np.asarray(ring, dtype=np.float64) for ring in segmentation or () if len(ring) >= 6 and len(ring) % 2 == 0]
    return rings or None


def _group(content: Mapping | None) -> dict[Any, list[Mapping]]:
    """Annotations by image; every listed image has an entry, unless the file is a bare image list."""
    if content is None or 'annotations' not in content:
        return {}
    groups: dict[Any, list[Mapping]] = {image['id']: [] for image in content['images']}
    for ann in content['annotations']:
        groups.setdefault(ann['image_id'], []).append(ann)
    return groups


def _list_files(folder: str | None, suffix: str) -> set[str]:
    """Paths of the files below a folder."""
    if not folder:
        return set()
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"data_prefix['seg']: folder {folder} does not exist; leave 'seg' out if there are no semantic maps"
        )
    # One listing per folder rather than one stat per image; file_name may hold sub-folders.
    found: set[str] = set()
    for root, _, files in os.walk(folder):
        found.update(os.path.normpath(os.path.join(root, name)) for name in files if name.endswith(suffix))
    return found
