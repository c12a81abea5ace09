"""Checks of the annotation files: their layout, image lists, objects and captions."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from .geometry import Fault, PolygonChecks, box_fault, mask_fault, numbers
from .problems import Problems

# Boxes and masks with these faults are otherwise sound.
_COMPARABLE = ('box beyond the border', 'short polygon')


def read_annotation_file(path: str) -> dict:
    """Read a JSON file in COCO's layout.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not JSON; or ``images``, ``annotations`` or ``categories`` is no list of objects.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'annotation file {path} does not exist; check data_root, ann_file and caption_file')
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except (ValueError, RecursionError) as error:  # not JSON, or not even text
        raise ValueError(f'{path} is not valid JSON: {error}') from error
    if not isinstance(content, dict) or 'images' not in content:
        raise ValueError(f'{path} is not in COCO layout: it has no "images"')
    for key in ('images', 'annotations', 'categories'):
        part = content.get(key, [])
        if not isinstance(part, list):
            raise ValueError(f'{path} is not in COCO layout: "{key}" is a {type(part).__name__}, not a list')
        wrong = next((i for i, record in enumerate(part) if not isinstance(record, dict)), None)
        if wrong is not None:
            kind = type(part[wrong]).__name__
            raise ValueError(f'{path} is not in COCO layout: entry {wrong} of "{key}" is a {kind}, not an object')
    return content


def is_id(value: Any) -> bool:
    """Whether a value can be an id: a whole number or a text."""
    return type(value) is int or type(value) is str


def check_images(content: Mapping, path: str, problems: Problems) -> dict[Any, tuple[int, int] | None]:
    """Check an image list.

    Args:
        content (Mapping): Parsed JSON, see :func:`read_annotation_file`.
        path (str): Its path, for messages.
        problems (Problems): Receives what is wrong.

    Returns:
        dict: (height, width) in px by image id; None where they are unusable.
    """
    sizes: dict = {}
    names: dict = {}
    for image in content.get('images', ()):
        where = f'{path}: image {image.get("id", image.get("file_name"))}'
        missing = [key for key in ('id', 'file_name', 'height', 'width') if image.get(key) is None]
        if missing:
            problems.add(f'{where} has no {" and no ".join(missing)}', 'image record')
        image_id, name = image.get('id'), image.get('file_name')
        if name is not None and (not isinstance(name, str) or not name):
            problems.add(f'{where}: file_name {name!r} is no file name', 'image record')
        elif name in names:
            text = f'{where}: file_name {name} occurs twice, also as image {names[name]}'
            if image_id != names[name]:
                problems.add(text, 'duplicate file name')
        elif name is not None:
            names[name] = image_id
        for key in ('height', 'width'):
            if image.get(key) is not None and (type(image[key]) is not int or image[key] < 1):
                problems.add(f'{where}: {key} {image[key]!r} is no whole number of pixels from 1 on', 'image record')
        if image_id is None:
            continue
        if not is_id(image_id):
            problems.add(f'{where}: its id is neither a whole number nor a text', 'image record')
            continue
        if image_id in sizes:
            problems.add(f'{path}: image id {image_id} ({name}) occurs twice', 'duplicate image id')
        size = (image.get('height'), image.get('width'))
        sizes[image_id] = size if all(type(side) is int and side > 0 for side in size) else None
    return sizes


def check_instances(
    content: Mapping, path: str, category_ids: Iterable[int], problems: Problems, classes: str = 'thing_ids'
) -> None:
    """Check an instances JSON (or one of COCO-Stuff): ids, sizes, categories, boxes, masks.

    Args:
        content (Mapping): Parsed JSON in COCO's layout.
        path (str): Its path, for messages.
        category_ids (Iterable[int]): Ids of the data set's classes.
        problems (Problems): Receives what is wrong.
        classes (str): Entry of the metainfo that holds these ids, for messages.
    """
    sizes = check_images(content, path, problems)
    known = set(category_ids)
    seen: set = set()
    compare = PolygonChecks()

    def note(ann: Mapping, fault: Fault) -> None:
        tell = problems.add if fault.severe else problems.warn
        gap = '' if fault.text.startswith(' ') else ': '
        tell(f'{path}: annotation {ann.get("id")} of image {ann.get("image_id")}{gap}{fault.text}', fault.kind)

    for ann in content.get('annotations', ()):
        faults = _record_faults(ann, sizes, known, seen, classes)
        size = sizes.get(ann['image_id']) if is_id(ann.get('image_id')) else None
        box, segmentation = ann.get('bbox'), ann.get('segmentation')
        box_or_mask = [box_fault(box, size), mask_fault(segmentation, size)] if box is not None else []
        for fault in (*faults, *filter(None, box_or_mask)):
            note(ann, fault)
        comparable = box_or_mask and all(fault is None or fault.kind in _COMPARABLE for fault in box_or_mask)
        if comparable and segmentation and isinstance(segmentation, list):
            for other, fault in compare.add(ann, box, segmentation, size):
                note(other, fault)
    for ann, fault in compare.flush():
        note(ann, fault)
    if classes == 'thing_ids':
        _warn_of_mixed_masks(content, path, problems)


def _record_faults(ann: Mapping, sizes: Mapping, known: set, seen: set, classes: str) -> list[Fault]:
    """Faults of everything but box and mask."""
    get = ann.get
    ann_id, image_id, category, area = get('id'), get('image_id'), get('category_id'), get('area')
    if image_id is None or category is None or get('bbox') is None:
        missing = [key for key in ('image_id', 'category_id', 'bbox') if get(key) is None]
        return [Fault('incomplete annotation', f' has no {" and no ".join(missing)}')]
    faults = []
    if ann_id is not None and not is_id(ann_id):
        faults.append(Fault('bad annotation id', f'its id {ann_id!r} is neither a whole number nor a text'))
    elif ann_id is not None and ann_id in seen:
        faults.append(Fault('duplicate annotation id', 'this annotation id occurs twice'))
    else:
        seen.add(ann_id)
    if not is_id(image_id) or image_id not in sizes:
        faults.append(Fault('orphan annotation', 'the file lists no image of this id'))
    if type(category) is not int or category not in known:
        faults.append(Fault('unknown category', f'category id {category!r} is not among the {classes} of the metainfo'))
    if ann_id is None or get('iscrowd') is None or not numbers([area]):
        lacking = [key for key in ('id', 'iscrowd') if get(key) is None] + ['number as area'] * (not numbers([area]))
        text = f' has no {" and no ".join(lacking)}, which the evaluation needs'
        faults.append(Fault('not ready for evaluation', text, severe=False))
    return faults


def _warn_of_mixed_masks(content: Mapping, path: str, problems: Problems) -> None:
    """An image of which only some objects have masks does not count as labelled for 'ins'."""
    total: Counter = Counter()
    masked: Counter = Counter()
    for ann in content.get('annotations', ()):
        if is_id(ann.get('image_id')):
            total[ann['image_id']] += 1
            masked[ann['image_id']] += bool(ann.get('segmentation'))
    for image_id, count in masked.items():
        if 0 < count < total[image_id]:
            problems.warn(
                f'{path}: image {image_id} has masks for {count} of its {total[image_id]} objects, so it does not '
                "count as labelled for 'ins'",
                'masks of some objects only',
            )


def check_captions(content: Mapping, path: str, instances: Mapping | None, ann_file: str, problems: Problems) -> None:
    """Check a captions JSON, alone and against the instances JSON.

    Args:
        content (Mapping): Parsed captions JSON in COCO's layout.
        path (str): Its path, for messages.
        instances (Mapping | None): Parsed instances JSON, if there is one.
        ann_file (str): Path of that, for messages.
        problems (Problems): Receives what is wrong.
    """
    check_images(content, path, problems)
    own, other = _images_by_id(content), _images_by_id(instances or {})
    check_same_images(own, path, other, ann_file, problems)
    annotations = content.get('annotations', ())
    captioned = {ann['image_id'] for ann in annotations if is_id(ann.get('image_id'))}
    if other and not (captioned | own.keys()) & other.keys():
        problems.add(
            f'{path}: belongs to other images (such as id {next(iter(captioned | own.keys()), None)}); none of them '
            f'is in {ann_file}',
            'files of different images',
        )
        return
    seen: set = set()
    for ann in annotations:
        where = f'{path}: caption {ann.get("id")} of image {ann.get("image_id")}'
        image_id, text, ann_id = ann.get('image_id'), ann.get('caption'), ann.get('id')
        if not isinstance(text, str):
            problems.add(f'{where} has no text, but {text!r}', 'caption without text')
        elif not text.strip():
            problems.warn(f'{where} is empty and left out', 'empty caption')
        if not is_id(image_id) or (image_id not in own and image_id not in other):
            problems.add(f'{where}: no file lists an image of this id', 'orphan caption')
        if is_id(ann_id) and ann_id in seen:
            problems.warn(f'{where}: this caption id occurs twice', 'duplicate caption id')
        elif is_id(ann_id):
            seen.add(ann_id)


def _images_by_id(content: Mapping) -> dict[Any, Mapping]:
    return {image['id']: image for image in content.get('images', ()) if is_id(image.get('id'))}


def check_same_images(own: Mapping, path: str, other: Mapping, ann_file: str, problems: Problems) -> None:
    """Check that two image lists, given by id, say the same of the images they share."""
    for image_id in own.keys() & other.keys():
        for key in ('file_name', 'height', 'width'):
            a, b = own[image_id].get(key), other[image_id].get(key)
            if a is not None and b is not None and a != b:
                text = f'{path}: image {image_id} has {key} {a!r}, but {b!r} in {ann_file}'
                problems.add(text, 'files that disagree')
