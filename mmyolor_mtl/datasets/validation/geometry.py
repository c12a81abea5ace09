"""Faults of boxes, polygons and run lengths, found without drawing anything."""

from collections.abc import Iterator, Sequence
from math import isfinite
from operator import mul
from typing import Any, NamedTuple

import numpy as np
import pycocotools.mask as mask_utils

_SLACK = 1.0  # px a box may exceed its image: COCO's own are rounded
_LEAST_OVERLAP = 0.5  # IoU of a box and the extent of its polygons


class Fault(NamedTuple):
    """What is wrong with one box or mask; ``severe`` ones are errors, the others are left out or cut on loading."""

    kind: str
    text: str
    severe: bool = True


def numbers(values: Any) -> bool:
    """Whether a list holds nothing but finite numbers."""
    try:
        return isinstance(values, list) and isfinite(sum(values))
    except (TypeError, OverflowError):
        return False


def box_fault(box: Any, size: tuple[int, int] | None) -> Fault | None:
    """Say what is wrong with a box.

    Args:
        box (Any): ``[x, y, width, height]`` in px, as the file has it.
        size (tuple[int, int], optional): (h, w) of its image, px.

    Returns:
        Fault | None: The worst fault, None if there is none.
    """
    if not numbers(box) or len(box) != 4:
        return Fault('bad box', f'bbox {box} is not [x, y, width, height]')
    x, y, w, h = box
    if w < 0 or h < 0:
        return Fault('bad box', f'bbox {box} has a negative width or height')
    if size is None:
        return None if w and h else _no_area(box)
    height, width = size
    if x > width or y > height or x + w < 0 or y + h < 0:
        return Fault('box outside the image', f'bbox {box} lies outside the image of {width} x {height} px')
    if not w or not h or min(x + w, width) <= max(x, 0) or min(y + h, height) <= max(y, 0):
        return _no_area(box)
    if x < -_SLACK or y < -_SLACK or x + w > width + _SLACK or y + h > height + _SLACK:
        text = f'bbox {box} exceeds the image of {width} x {height} px and is cut at its border'
        return Fault('box beyond the border', text, severe=False)
    return None


def _no_area(box: list) -> Fault:
    return Fault('box without area', f'bbox {box} has no area inside the image; the object is left out', severe=False)


def mask_faults(segmentation: Any, size: tuple[int, int] | None, box: Any = None) -> Iterator[Fault]:
    """Say what is wrong with a segmentation.

    Args:
        segmentation (Any): Polygons or run lengths, as the file has them; None and [] mean *not annotated*.
        size (tuple[int, int], optional): (h, w) of the image, px.
        box (Any): The annotation's sound box, to compare with; None leaves the comparison out.

    Yields:
        Fault: Everything that is wrong.
    """
    if segmentation is None or segmentation == []:
        return
    if isinstance(segmentation, dict):
        fault = rle_fault(segmentation, size)
        if fault:
            yield fault
    elif not isinstance(segmentation, list):
        yield Fault('bad mask', f'segmentation is a {type(segmentation).__name__}, neither polygons nor RLE')
    else:
        yield from _polygon_faults(segmentation, size, box)


def _polygon_faults(polygons: list, size: tuple[int, int] | None, box: Any) -> Iterator[Fault]:
    short = 0
    for polygon in polygons:
        if not isinstance(polygon, list):
            yield Fault('bad mask', 'segmentation is not a list of polygons')
            return
        if not numbers(polygon):
            yield Fault('bad polygon', f'a polygon holds something that is no finite number: {_excerpt(polygon)}')
            return
        if len(polygon) % 2:
            yield Fault('bad polygon', f'a polygon has {len(polygon)} numbers, which is odd')
            return
        short += len(polygon) < 6
    if short == len(polygons):
        yield Fault('empty mask', 'no polygon has three points')
        return
    if short:
        yield Fault('short polygon', f'{short} of its polygons have less than three points and are left out', False)
    whole = [polygon for polygon in polygons if len(polygon) >= 6]
    if box is not None and _box_overlap(box, extent(whole)) < _LEAST_OVERLAP:
        text = f'bbox {box} is not that of its polygons, {[round(v, 2) for v in extent(whole)]}'
        yield Fault('box unlike its mask', text, False)
    if size is not None and not any(_twice_area(polygon) > 2 for polygon in whole) and not _drawn(whole, size):
        yield Fault('mask without a pixel', 'its polygons cover no pixel', False)


def _excerpt(values: list) -> str:
    odd = [v for v in values if isinstance(v, bool) or not isinstance(v, (int, float)) or not isfinite(v)]
    return ', '.join(repr(v) for v in odd[:3]) or 'numbers too large'


def _twice_area(polygon: list[float]) -> float:
    x, y = polygon[::2], polygon[1::2]
    return abs(sum(map(mul, x, y[1:] + y[:1])) - sum(map(mul, y, x[1:] + x[:1])))


def _drawn(polygons: list[list[float]], size: tuple[int, int]) -> bool:
    rles = mask_utils.frPyObjects([[float(v) for v in polygon] for polygon in polygons], *size)
    return bool(mask_utils.area(rles).any())


def extent(polygons: Sequence[Sequence[float]]) -> list[float]:
    """Tight box of some polygons: ``[x, y, width, height]``."""
    left, right = min(min(p[::2]) for p in polygons), max(max(p[::2]) for p in polygons)
    top, bottom = min(min(p[1::2]) for p in polygons), max(max(p[1::2]) for p in polygons)
    return [left, top, right - left, bottom - top]


def _box_overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU; 1.0 for boxes that differ by less than a pixel on each side, however thin they are."""
    if all(abs(p - q) <= 2 for p, q in zip(a, b, strict=True)):
        return 1.0
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / max(a[2] * a[3] + b[2] * b[3] - common, 1e-9)


def rle_fault(rle: dict, size: tuple[int, int] | None) -> Fault | None:
    """Say what is wrong with a run-length mask.

    Args:
        rle (dict): COCO's ``{'size': [h, w], 'counts': ...}``, compressed (str) or a list of int.
        size (tuple[int, int], optional): (h, w) of the image, px.

    Returns:
        Fault | None: The fault, None if there is none.
    """
    own = rle.get('size')
    if not isinstance(own, list) or len(own) != 2 or not all(type(v) is int and v > 0 for v in own):
        return Fault('bad RLE', f'its RLE mask has no "size": [height, width], but {own!r}')
    if size is not None and tuple(own) != tuple(size):
        return Fault('RLE of another size', f'its RLE mask is of size {own} (h, w), the image of {list(size)}')
    try:
        counts = rle_counts(rle.get('counts'))
    except ValueError as error:
        return Fault('bad RLE', f'its RLE mask {error}')
    total = int(counts.sum())
    if total != own[0] * own[1]:
        return Fault('bad RLE', f'the runs of its RLE mask sum up to {total} px instead of {own[0]} x {own[1]}')
    if not counts[1::2].any():
        return Fault('mask without a pixel', 'its RLE mask has no pixel; the object is left out', severe=False)
    return None


def rle_counts(counts: Any) -> np.ndarray:
    """Run lengths of a mask.

    Args:
        counts (Any): A list of int, or COCO's compressed text: five bits a character, the lowest first, bit 5 set if
            more follow; from the fourth run on, the difference to the run two before.

    Returns:
        np.ndarray: (R,) int64, in px; zeros and ones take turns, zeros first.

    Raises:
        ValueError: It is neither of both, or a run is negative.
    """
    if isinstance(counts, list):
        if not all(type(run) is int and 0 <= run < 1 << 40 for run in counts):
            raise ValueError('has runs that are no whole numbers from 0 on')
        return np.array(counts, dtype=np.int64)
    if not isinstance(counts, (str, bytes)) or not counts:
        raise ValueError(f'has counts of type {type(counts).__name__}, or none')
    text = counts.encode() if isinstance(counts, str) else counts
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 0x20) == 0)
    if codes.min() < 0 or codes.max() > 63 or not len(ends) or ends[-1] != len(codes) - 1:
        raise ValueError('is no valid run-length text')
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 8:
        raise ValueError('is no valid run-length text')
    runs = np.add.reduceat((codes & 0x1F) << (5 * place), starts)
    runs -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * (ends - starts + 1)), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    if runs.min() < 0:
        raise ValueError('has negative runs')
    return runs
