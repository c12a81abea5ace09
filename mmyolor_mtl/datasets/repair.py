"""Repaired copies of annotation files: what is certain is corrected, what nobody can know is left out."""

import dataclasses
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils

from .label_files import PARTS, LabelFiles
from .validation.files import image_fault, upright_size
from .validation.geometry import Fault, PolygonChecks, box_fault, drawn_area, mask_fault, measure_polygons, numbers
from .validation.panoptic import read_panoptic_ids
from .validation.problems import Problem
from .validation.records import is_id

_THREADS = 8


def plan_copies(files: LabelFiles, out_dir: str | Path) -> dict[str, Path]:
    """Where the repaired copy of each JSON file goes; nothing is read or written.

    Args:
        files (LabelFiles): A data set.
        out_dir (str | Path): Folder for the copies.

    Returns:
        dict[str, Path]: Paths by part of the data set.

    Raises:
        FileExistsError: A copy would replace a file.
        ValueError: Two of the files have the same name.
    """
    paths = {part: getattr(files, part) for part in PARTS if getattr(files, part)}
    targets = {part: Path(out_dir, os.path.basename(path)) for part, path in paths.items()}
    if len(set(targets.values())) < len(set(paths.values())):
        raise ValueError(f'{files.name}: two of its files have the same name, their copies need different ones')
    for target in targets.values():
        if target.exists():
            raise FileExistsError(f'{target} exists and is not replaced: give --fix another folder')
    return targets


def write_repaired(files: LabelFiles, out_dir: str | Path) -> tuple[LabelFiles, list[Problem]]:
    """Write repaired copies of a data set's JSON files; images and maps stay where they are.

    Args:
        files (LabelFiles): Readable files.
        out_dir (str | Path): Folder for the copies, which keep their names.

    Returns:
        tuple[LabelFiles, list[Problem]]: The data set with the copies in place of the files; and every change, each
        naming file and id.

    Raises:
        FileExistsError, ValueError: As :func:`plan_copies`.
    """
    targets = plan_copies(files, out_dir)
    repair = Repair(files)
    contents = repair.run()
    for part, target in targets.items():
        _write_json(contents[part], target)
    copies = {part: str(target) for part, target in targets.items()}
    return dataclasses.replace(files, **copies), repair.changes


class Repair:
    """Repairs parsed annotation files of one data set, without changing them.

    Args:
        files (LabelFiles): The files.

    Attributes:
        changes: What was changed so far.
    """

    def __init__(self, files: LabelFiles) -> None:
        self.files = files
        self.changes: list[Problem] = []
        self._images: dict[Any, dict] = {}
        self._renamed: dict[Any, Any] = {}
        self._ambiguous: set = set()
        self._listed: Set = set()  # ids of the file that is being repaired

    def run(self) -> dict[str, dict]:
        """Repair everything.

        Returns:
            dict[str, dict]: New contents by part of the data set ('instances', 'captions', 'stuff', 'panoptic').
        """
        self._sort_images()
        self._correct_images()
        repaired = {}
        for part, content in self.files.contents:
            path = getattr(self.files, part)
            repaired[part] = {**content, 'images': self._image_list(content)}
            if 'annotations' in content:
                # Captions may belong to images of another file.
                self._listed = self._images.keys() if part == 'captions' else self._ids(content)
                change = {'captions': self._captions, 'panoptic': self._panoptic}.get(part, self._objects)
                repaired[part]['annotations'] = change(content['annotations'], path)
        return repaired

    def _note(self, kind: str, path: str, text: str) -> None:
        self.changes.append(Problem(kind, f'{path}: {text}'))

    # ------------------------------------------------------------------ images

    def _sort_images(self) -> None:
        """One record an image: equal files are joined, ids that stand for several files are dropped."""
        by_name: dict[str, Any] = {}
        for part, content in self.files.contents:
            path = getattr(self.files, part)
            names = defaultdict(set)
            for image in content['images']:
                if is_id(image.get('id')):
                    names[image['id']].add(str(image.get('file_name')))
            for image in content['images']:
                image_id, name = image.get('id'), image.get('file_name')
                if not is_id(image_id) or not isinstance(name, str) or not name:
                    self._note('image dropped', path, f'image {image_id} ({name}) has no usable id or file_name')
                    self._ambiguous |= {image_id} if is_id(image_id) else set()
                elif len(names[image_id]) > 1 or self._images.get(image_id, image)['file_name'] != name:
                    text = f'image id {image_id} stands for several files, such as {name}: whose labels these are is '
                    self._note('image dropped', path, text + 'unknown')
                    self._ambiguous.add(image_id)
                elif by_name.setdefault(name, image_id) != image_id:
                    text = f'image {image_id} is the file of image {by_name[name]}, {name}: their labels are joined'
                    self._note('image joined', path, text)
                    self._renamed[image_id] = by_name[name]
                else:
                    self._images.setdefault(image_id, dict(image))
        for image_id in self._ambiguous:
            self._images.pop(image_id, None)

    def _correct_images(self) -> None:
        """Take sizes from the files and drop images that cannot be read."""
        if not self.files.images:
            return
        with ThreadPoolExecutor(max_workers=_THREADS) as pool:
            measured = list(pool.map(self._measure, self._images.values()))
        for image, (size, fault) in zip(list(self._images.values()), measured, strict=True):
            where = f'image {image["id"]} ({image["file_name"]})'
            if size is None:
                self._note('image dropped', self.files.images, f'{where}: {fault}')
                del self._images[image['id']]
            elif (image.get('height'), image.get('width')) != size:
                text = f'{where} is {size[1]} x {size[0]} px, not {image.get("width")} x {image.get("height")}'
                self._note('size corrected', self.files.images, text)
                image['height'], image['width'] = size

    def _measure(self, image: Mapping) -> tuple[tuple[int, int] | None, str | None]:
        path = os.path.join(self.files.images, image['file_name'])
        fault = image_fault(path, decode=True)
        return (None, fault) if fault else (upright_size(path), None)

    def _image_list(self, content: Mapping) -> list[dict]:
        listed = self._ids(content)
        return [image for image_id, image in self._images.items() if image_id in listed]

    def _ids(self, content: Mapping) -> set:
        """Ids that the images of a file have now."""
        ids = {self._renamed.get(image['id'], image['id']) for image in content['images'] if is_id(image.get('id'))}
        return ids & self._images.keys()

    def _id_of(self, value: Any) -> Any:
        """The id an annotation's image has now; None if its file has no such image."""
        for candidate in (value, _as_number(value)):
            if is_id(candidate) and self._renamed.get(candidate, candidate) in self._listed:
                return self._renamed.get(candidate, candidate)
        return None

    def _size(self, image_id: Any) -> tuple[int, int] | None:
        height, width = self._images[image_id].get('height'), self._images[image_id].get('width')
        return (height, width) if type(height) is int and type(width) is int and min(height, width) > 0 else None

    # ------------------------------------------------------------------ annotations

    def _captions(self, annotations: list[dict], path: str) -> list[dict]:
        kept = []
        for ann in annotations:
            where = f'caption {ann.get("id")} of image {ann.get("image_id")}'
            image_id = self._id_of(ann.get('image_id'))
            if image_id is None:
                self._note('orphan dropped', path, f'{where}: there is no such image')
            elif not isinstance(ann.get('caption'), str) or not ann['caption'].strip():
                self._note('caption dropped', path, f'{where} has no text')
            else:
                kept.append({**ann, 'image_id': image_id})
        return self._number(kept, path)

    def _objects(self, annotations: list[dict], path: str) -> list[dict]:
        kept, seen, joined = [], set(), set(self._renamed.values())
        for ann in annotations:
            where = f'annotation {ann.get("id")} of image {ann.get("image_id")}'
            image_id = self._id_of(ann.get('image_id'))
            if image_id is None:
                self._note('orphan dropped', path, f'{where}: there is no such image')
                continue
            repaired, changes = repair_object(ann, self._size(image_id))
            for kind, text in changes:
                self._note(kind, path, f'{where}: {text}')
            if repaired is None:
                continue
            repaired['image_id'] = image_id
            if image_id in joined:  # two lists of one image may hold the same object
                key = (image_id, repaired.get('category_id'), tuple(repaired['bbox']))
                if key in seen:
                    self._note('object dropped', path, f'{where} is there twice')
                    continue
                seen.add(key)
            kept.append(repaired)
        return self._number(kept, path)

    def _number(self, annotations: list[dict], path: str) -> list[dict]:
        """Give new ids to annotations without one and to repeated ones."""
        ids = [ann['id'] for ann in annotations if type(ann.get('id')) is int]
        following = max(ids, default=0) + 1
        seen: set = set()
        for ann in annotations:
            if not is_id(ann.get('id')) or ann['id'] in seen:
                text = f'annotation {ann.get("id")} of image {ann["image_id"]} becomes {following}'
                self._note('id renewed', path, text)
                ann['id'] = following
                following += 1
            seen.add(ann['id'])
        return annotations

    def _panoptic(self, annotations: list[dict], path: str) -> list[dict]:
        kept, seen = [], set()
        for ann in annotations:
            image_id = self._id_of(ann.get('image_id'))
            where = f'panoptic annotation of image {ann.get("image_id")}'
            usable = isinstance(ann.get('file_name'), str) and isinstance(ann.get('segments_info'), list)
            if image_id is None or image_id in seen or not usable:
                why = 'there is no such image' if image_id is None else 'is there twice, or incomplete'
                self._note('orphan dropped', path, f'{where}: {why}')
                continue
            seen.add(image_id)
            kept.append({**ann, 'image_id': image_id, 'segments_info': self._segments(ann, where, path)})
        return kept

    def _segments(self, ann: Mapping, where: str, path: str) -> list:
        """Measure the segments anew; those without a pixel are left out."""
        try:
            ids = read_panoptic_ids(os.path.join(self.files.panoptic_maps, ann['file_name']))
        except ValueError:  # reported by the check
            return ann['segments_info']
        kept = {}
        for segment in ann['segments_info']:
            segment_id = segment.get('id') if isinstance(segment, dict) else None
            rows, columns = np.nonzero((ids == segment_id) & (ids > 0))
            if not len(rows) or segment_id in kept:
                self._note('segment dropped', path, f'{where}: segment {segment_id} has no pixel of its own')
                continue
            box = [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
            if (segment.get('area'), segment.get('bbox')) != (len(rows), box):
                self._note('segment measured anew', path, f'{where}: segment {segment_id} covers {len(rows)} px, {box}')
            kept[segment_id] = {**segment, 'area': len(rows), 'bbox': box}
        return list(kept.values())


def repair_object(ann: Mapping, size: tuple[int, int] | None) -> tuple[dict | None, list[Problem]]:
    """Repair box, mask, area and numbers of one annotation.

    Args:
        ann (Mapping): COCO's record; it is not changed.
        size (tuple[int, int], optional): (h, w) of its image, px; None leaves box and mask as they are.

    Returns:
        tuple[dict | None, list[Problem]]: The repaired record, None if nothing is left of it; and what was changed.
    """
    new = dict(ann)
    changes: list[Problem] = []
    for key in ('category_id', 'iscrowd', 'area', 'id'):
        if isinstance(new.get(key), (str, float)) and _as_number(new[key]) is not new[key] and key != 'area':
            new[key] = _as_number(new[key])
            changes.append(Problem('number corrected', f'{key} {ann[key]!r} becomes {new[key]}'))
    _repair_mask(new, size, changes)
    if size is not None and new.get('segmentation') and not _mask_area(new['segmentation'], size):
        changes.append(Problem('object dropped', 'its mask has no pixel'))
        return None, changes
    if not _repair_box(new, size, changes):
        return None, changes
    if new.get('iscrowd') is None:
        new['iscrowd'] = 0
    if not numbers([new.get('area')]) or any(change.kind in ('box corrected', 'mask corrected') for change in changes):
        area = _mask_area(new['segmentation'], size) if size and new.get('segmentation') else 0
        new['area'] = area or new['bbox'][2] * new['bbox'][3]
        if new['area'] != ann.get('area'):
            changes.append(Problem('area corrected', f'area {ann.get("area")} becomes {new["area"]:g}'))
    return new, changes


def _repair_mask(new: dict, size: tuple[int, int] | None, changes: list[Problem]) -> None:
    """Keep the sound polygons; a mask of which nothing is sound goes, the box stays."""
    mask = new.get('segmentation')
    fault = mask_fault(mask, size)
    if fault is None or fault.kind == 'mask without a pixel':
        return
    if isinstance(mask, list):
        nested = mask if all(isinstance(ring, list) for ring in mask) else [mask]
        rings = [[_as_number(value) for value in ring] for ring in nested]
        sound = [ring for ring in rings if len(ring) >= 6 and mask_fault([ring], size) is None]
        if sound:
            new['segmentation'] = sound
            changes.append(Problem('mask corrected', f'{fault.text}; {len(sound)} polygons are kept'))
            return
    new.pop('segmentation')
    changes.append(
        Problem('mask dropped', f'{fault.text}; the box stays, its image is not labelled for masks any more')
    )


def _repair_box(new: dict, size: tuple[int, int] | None, changes: list[Problem]) -> bool:
    """Correct the box, from the mask if there is one; returns whether there is a sound box in the end."""
    before = new.get('bbox')
    box = [_as_number(value) for value in before] if isinstance(before, list) else before
    fault = box_fault(box, size) or _unlike_mask(new, box, size)
    if fault is not None and size is not None and new.get('segmentation'):
        box = _clip(_mask_box(new['segmentation'], size), size)
    elif fault is not None and fault.kind == 'box beyond the border' and size is not None:
        box = _clip(box, size)
    if box_fault(box, size):
        changes.append(Problem('object dropped', fault.text if fault else 'its box has no area'))
        return False
    new['bbox'] = box
    if box != before:
        changes.append(Problem('box corrected', f'bbox {before} becomes {box}'))
    return True


def _unlike_mask(ann: Mapping, box: list, size: tuple[int, int] | None) -> Fault | None:
    """Whether a sound box does not belong to the polygons."""
    if not isinstance(ann.get('segmentation'), list) or not ann['segmentation']:
        return None
    checks = PolygonChecks()
    found = [*checks.add(None, box, ann['segmentation'], size), *checks.flush()]
    return next((fault for _, fault in found if fault.kind == 'box unlike its mask'), None)


def _mask_area(mask: Any, size: tuple[int, int]) -> int:
    if isinstance(mask, dict):
        return int(mask_utils.area(_compressed(mask)))
    return drawn_area(mask, size)


def _mask_box(mask: Any, size: tuple[int, int]) -> list[float]:
    if isinstance(mask, dict):
        return [float(v) for v in mask_utils.toBbox(_compressed(mask))]
    x1, y1, x2, y2 = measure_polygons([mask])[0][0].tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def _compressed(rle: Mapping) -> Any:
    return mask_utils.frPyObjects(rle, *rle['size']) if isinstance(rle['counts'], list) else rle


def _clip(box: list[float], size: tuple[int, int]) -> list[float]:
    x1, y1 = max(box[0], 0), max(box[1], 0)
    x2, y2 = min(box[0] + box[2], size[1]), min(box[1] + box[3], size[0])
    return [round(v, 3) for v in (x1, y1, max(x2 - x1, 0), max(y2 - y1, 0))]


def _as_number(value: Any) -> Any:
    """'12' and 12.0 as 12, '1.5' as 1.5; anything else as it is."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
        return int(value) if isfinite(value) and value.is_integer() else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _write_json(content: Mapping, path: Path) -> None:
    """Write a draft beside the target, which then takes its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        draft.write_text(json.dumps(content), encoding='utf-8')
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
