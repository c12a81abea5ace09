"""Faults of boxes, polygons and run lengths, found without drawing anything."""

from itertools import chain
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import pycocotools.mask as mask_utils

_FAR = 1e6  # px; coordinates beyond are damage, and drawing lines to there takes forever
_SLACK = 1.0  # px a box may exceed its image: COCO's own are rounded
_LEAST_OVERLAP = 0.5  # IoU of a box and the extent of its polygons
_SMALL = 2.0  # px^2, or px of a side; smaller polygons are drawn to see whether anything is left
_BATCH = 4096


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
    if not numbers(box) or len(box) != 4 or max(map(abs, box)) > _FAR:
        return Fault('bad box', f'bbox {box} is not [x, y, width, height] in px')
    x, y, w, h = box
    if w < 0 or h < 0:
        return Fault('bad box', f'bbox {box} has a negative width or height')
    if size is None:
        return None if w * h else _no_area(box)
    height, width = size
    if x > width or y > height or x + w < 0 or y + h < 0:
        return Fault('box outside the image', f'bbox {box} lies outside the image of {width} x {height} px')
    # Both sides are at least 0 here; the product of two tiny ones may be 0 all the same.
    if not w * h or (min(x + w, width) - max(x, 0)) * (min(y + h, height) - max(y, 0)) == 0:
        return _no_area(box)
    if x < -_SLACK or y < -_SLACK or x + w > width + _SLACK or y + h > height + _SLACK:
        text = f'bbox {box} exceeds the image of {width} x {height} px and is cut at its border'
        return Fault('box beyond the border', text, severe=False)
    return None


def _no_area(box: list) -> Fault:
    return Fault('box without area', f'bbox {box} has no area inside the image; the object is left out', severe=False)


def mask_fault(segmentation: Any, size: tuple[int, int] | None) -> Fault | None:
    """Say what is wrong with the layout and the numbers of a segmentation.

    Args:
        segmentation (Any): Polygons or run lengths, as the file has them; None and [] mean *not annotated*.
        size (tuple[int, int], optional): (h, w) of the image, px.

    Returns:
        Fault | None: The worst fault, None if there is none.
    """
    if segmentation is None or segmentation == []:
        return None
    if isinstance(segmentation, dict):
        return rle_fault(segmentation, size)
    if not isinstance(segmentation, list):
        return Fault('bad mask', f'segmentation is a {type(segmentation).__name__}, neither polygons nor RLE')
    short = 0
    for polygon in segmentation:
        if not isinstance(polygon, list):
            return Fault('bad mask', 'segmentation is not a list of polygons')
        if not numbers(polygon):
            return Fault('bad polygon', f'a polygon holds something that is no finite number: {_excerpt(polygon)}')
        if len(polygon) % 2:
            return Fault('bad polygon', f'a polygon has {len(polygon)} numbers, which is odd')
        if len(polygon) < 6:
            short += 1
        elif min(polygon) < -_FAR or max(polygon) > _FAR:
            return Fault('bad polygon', f'a polygon reaches to {max(map(abs, polygon)):g} px')
    if short == len(segmentation):
        return Fault('empty mask', 'no polygon has three points')
    if short:
        return Fault('short polygon', f'{short} of its polygons have less than three points and are left out', False)
    return None


def _excerpt(values: list) -> str:
    odd = [v for v in values if isinstance(v, bool) or not isinstance(v, (int, float)) or not isfinite(v)]
    return ', '.join(repr(v) for v in odd[:3]) or 'numbers too large'


class PolygonChecks:
    """Compares boxes with polygons, many objects at a time.

    Objects are handed over one by one, and looked at whenever there are enough of them.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, list[float], list[list[float]], tuple[int, int] | None]] = []

    def add(self, key: Any, box: list[float], polygons: list, size: tuple[int, int] | None) -> list[tuple[Any, Fault]]:
        """Hand over one object with a sound box and polygons.

        Args:
            key (Any): Stands for the object in the results.
            box (list[float]): ``[x, y, width, height]``, px.
            polygons (list): Its polygons.
            size (tuple[int, int], optional): (h, w) of the image, px.

        Returns:
            list: Key and fault of objects handed over so far; usually nothing yet.
        """
        self._waiting.append((key, box, polygons, size))
        return self.flush() if len(self._waiting) >= _BATCH else []

    def flush(self) -> list[tuple[Any, Fault]]:
        """Look at all objects that wait; returns key and fault of those that have one."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return []
        extents, areas = measure_polygons([polygons for _, _, polygons, _ in waiting])
        boxes = np.array([box for _, box, _, _ in waiting], dtype=np.float64)
        boxes[:, 2:] += boxes[:, :2]
        found: list[tuple[Any, Fault]] = []
        for i in np.flatnonzero(_overlaps(boxes, extents) < _LEAST_OVERLAP).tolist():
            key, box, _, _ = waiting[i]
            x1, y1, x2, y2 = extents[i].round(2).tolist()
            text = f'bbox {box} is not that of its polygons, [{x1:g}, {y1:g}, {x2 - x1:g}, {y2 - y1:g}]'
            found.append((key, Fault('box unlike its mask', text, severe=False)))
        for i in np.flatnonzero(np.minimum(areas, (extents[:, 2:] - extents[:, :2]).min(1)) < _SMALL).tolist():
            key, _, polygons, size = waiting[i]
            if size is not None and not drawn_area(polygons, size):
                fault = Fault('mask without a pixel', 'its polygons cover the middle of no pixel', severe=False)
                found.append((key, fault))
        return found


def measure_polygons(masks: list[list[list[float]]]) -> tuple[np.ndarray, np.ndarray]:
    """Measure the polygons of some objects; those with less than three points do not count.

    Args:
        masks (list): Polygons of each object, at least one of three points.

    Returns:
        tuple[np.ndarray, np.ndarray]: (n, 4) extents, xyxy px, and (n,) area of the largest polygon, px^2.
    """
    rings = [ring for polygons in masks for ring in polygons if len(ring) >= 6]
    lengths = np.array([len(ring) // 2 for ring in rings])
    flat = np.fromiter(chain.from_iterable(rings), np.float64, 2 * int(lengths.sum()))
    x, y = flat[::2], flat[1::2]
    ends = np.cumsum(lengths)
    starts = ends - lengths
    ahead = np.arange(1, len(x) + 1)
    ahead[ends - 1] = starts
    # Relative to each ring's first point: far from the origin, small areas would drown in rounding errors.
    u, v = x - np.repeat(x[starts], lengths), y - np.repeat(y[starts], lengths)
    areas = np.abs(np.add.reduceat(u * v[ahead] - v * u[ahead], starts)) / 2
    first = np.cumsum([0, *(sum(len(ring) >= 6 for ring in polygons) for polygons in masks[:-1])])
    low = [np.minimum.reduceat(np.minimum.reduceat(c, starts), first) for c in (x, y)]
    high = [np.maximum.reduceat(np.maximum.reduceat(c, starts), first) for c in (x, y)]
    return np.stack([*low, *high], axis=1), np.maximum.reduceat(areas, first)


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) IoU of (n, 4) boxes, xyxy; 1.0 for those that differ by less than 2 px on each side, however thin."""
    common = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - common
    return np.where(np.abs(a - b).max(1) <= 2, 1.0, common / np.maximum(union, 1e-9))


def drawn_area(polygons: list[list[float]], size: tuple[int, int]) -> int:
    """Pixels that the union of some polygons covers in an image of (h, w) px."""
    rings = [[float(v) for v in ring] for ring in polygons if len(ring) >= 6]
    return int(mask_utils.area(mask_utils.merge(mask_utils.frPyObjects(rings, *size))))


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
        try:
            runs = np.array(counts)
        except ValueError:  # lists of different lengths
            runs = np.zeros(0)
        if runs.ndim != 1 or runs.dtype.kind != 'i' or runs.min() < 0:
            raise ValueError('has runs that are no whole numbers from 0 on')
        return runs
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
