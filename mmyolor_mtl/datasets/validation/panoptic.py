"""Checks of panoptic labels: the JSON's segments against the PNGs that draw them."""

import os
from collections.abc import Callable, Iterable, Mapping

import cv2
import numpy as np
from PIL import Image

from .files import image_fault, in_threads
from .geometry import box_fault
from .problems import Problem, Problems
from .records import check_images, is_id


def check_panoptic(content: Mapping, path: str, category_ids: Iterable[int] | None, problems: Problems) -> None:
    """Check a panoptic JSON: ids, categories, segments.

    Args:
        content (Mapping): Parsed JSON in COCO's panoptic layout: one annotation an image, with ``file_name`` and
            ``segments_info``.
        path (str): Its path, for messages.
        category_ids (Iterable[int], optional): Known category ids; by default those of its own ``categories``.
        problems (Problems): Receives what is wrong.
    """
    sizes = check_images(content, path, problems)
    if category_ids is None:
        category_ids = [category.get('id') for category in content.get('categories', ())]
    known = set(category_ids)
    seen: set = set()
    for ann in content.get('annotations', ()):
        image_id = ann.get('image_id')
        where = f'{path}: panoptic annotation of image {image_id}'
        if not is_id(image_id) or image_id not in sizes:
            problems.add(f'{where}: the file lists no image of this id', 'orphan annotation')
            continue
        if image_id in seen:
            problems.add(f'{where} occurs twice', 'duplicate annotation id')
        seen.add(image_id)
        if not isinstance(ann.get('file_name'), str) or not isinstance(ann.get('segments_info'), list):
            problems.add(f'{where} has no file_name or no list segments_info', 'incomplete annotation')
            continue
        _check_segments(ann['segments_info'], sizes[image_id], where, known, problems)


def _check_segments(segments: list, size: tuple[int, int] | None, where: str, known: set, problems: Problems) -> None:
    seen: set = set()
    for segment in segments:
        if not isinstance(segment, dict) or type(segment.get('id')) is not int or not 0 < segment['id'] < 1 << 24:
            problems.add(f'{where}: segment {segment} has no id from 1 to 2^24 - 1', 'bad segment')
            continue
        if segment['id'] in seen:
            problems.add(f'{where}: segment id {segment["id"]} occurs twice', 'duplicate segment id')
        seen.add(segment['id'])
        category = segment.get('category_id')
        if type(category) is not int or category not in known:
            text = f'{where}: segment {segment["id"]} has category id {category!r}, which is unknown'
            problems.add(text, 'unknown category')
        fault = box_fault(segment.get('bbox'), size)
        if fault:
            note = problems.add if fault.severe else problems.warn
            note(f'{where}: segment {segment["id"]}: {fault.text}', fault.kind)


def check_panoptic_maps(
    content: Mapping,
    folder: str,
    level: str,
    problems: Problems,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Check panoptic PNGs against a JSON that :func:`check_panoptic` found sound.

    Args:
        content (Mapping): Parsed panoptic JSON.
        folder (str): Where the PNGs lie.
        level (str): 'header' compares sizes, 'decode' also the segments' ids and areas with the pixels.
        problems (Problems): Receives what is wrong.
        progress (Callable, optional): Called with the number of maps checked and of all.
    """
    sizes = {image['id']: (image['height'], image['width']) for image in content['images']}

    def check(ann: Mapping) -> list[Problem]:
        path = os.path.join(folder, ann['file_name'])
        areas = {segment['id']: segment.get('area') for segment in ann['segments_info']}
        fault = _map_fault(path, sizes[ann['image_id']], areas, level == 'decode')
        return [Problem('panoptic map', f'{path} (panoptic map of image {ann["image_id"]}): {fault}')] if fault else []

    in_threads(check, content.get('annotations', ()), problems, progress)


def _map_fault(path: str, size: tuple[int, int], areas: Mapping[int, int | None], decode: bool) -> str | None:
    fault = image_fault(path, size)
    if fault:
        return fault
    with Image.open(path) as image:
        mode = image.mode
    if mode not in ('RGB', 'RGBA'):
        return f'is stored as {mode}, segment ids need three channels of 8 bits'
    return _segment_fault(path, areas) if decode else None


def _segment_fault(path: str, areas: Mapping[int, int | None]) -> str | None:
    try:
        ids, counts = np.unique(read_panoptic_ids(path), return_counts=True)
    except ValueError as error:
        return str(error)
    drawn = {int(i): int(count) for i, count in zip(ids, counts, strict=True) if i}
    unlisted, absent = sorted(drawn.keys() - areas.keys()), sorted(areas.keys() - drawn.keys())
    if unlisted:
        return f'holds segment ids that segments_info lacks: {unlisted[:8]}'
    if absent:
        return f'lacks segments that segments_info lists: {absent[:8]}'
    for segment, area in areas.items():
        if area is not None and area != drawn[segment]:
            return f'segment {segment} covers {drawn[segment]} px, its area says {area}'
    return None


def read_panoptic_ids(path: str) -> np.ndarray:
    """Read segment ids of a panoptic PNG.

    Returns:
        np.ndarray: (H, W) int64, R + 256 G + 65536 B; 0 = void.

    Raises:
        ValueError: The file cannot be decoded.
    """
    pixels = cv2.imread(path, cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f'panoptic map {path} cannot be decoded')
    return pixels.astype(np.int64) @ np.array([65536, 256, 1])
