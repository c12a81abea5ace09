"""Polygon arithmetic on all points of all instances at once.

A *ring* is one closed polygon; an instance owns one or more rings whose union is its mask. Coordinates are continuous
pixels: pixel ``i`` spans ``[i, i + 1)``. A ring is filled by the even-odd rule, so a hole is written as a *keyhole*:
outer ring, bridge to the hole, around it, and back over the same bridge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pycocotools.mask as mask_utils
from mmdet.structures.mask import BitmapMasks, PolygonMasks

_MIN_AREA = 0.05  # px^2; a cut-off part below this cannot be seen, but would stretch the box to the border
_SLIVER = 1 / 16  # px; what reaches less deep into the rectangle cannot be seen, but may run far along the border
_CORNER_STEP = 1e-3  # px; corners are tested this far inside, as objects often end exactly on the border


@dataclass(frozen=True)
class FlatPolygons:
    """Rings of N instances in one array.

    Attributes:
        points: (P, 2) float64, x and y in px.
        lengths: (R,) points of each ring.
        owners: (R,) instance index of each ring, in [0, N).
        num: N.
    """

    points: np.ndarray
    lengths: np.ndarray
    owners: np.ndarray
    num: int

    @classmethod
    def from_masks(cls, masks: PolygonMasks | BitmapMasks) -> 'FlatPolygons':
        """Flatten mmdet's three-level list; bitmaps become polygons that draw the same."""
        instances = _bitmap_rings(masks) if isinstance(masks, BitmapMasks) else masks.masks
        rings = [ring for instance in instances for ring in instance]
        owners = np.repeat(np.arange(len(masks)), [len(instance) for instance in instances])
        lengths = np.array([len(ring) // 2 for ring in rings], dtype=np.int64)
        points = np.concatenate(rings).reshape(-1, 2) if rings else np.zeros((0, 2))
        return cls(points.astype(np.float64, copy=False), lengths, owners, len(masks))

    def to_masks(self, height: int, width: int) -> PolygonMasks:
        """Back to mmdet's structure; every instance must have a ring."""
        instances: list[list[np.ndarray]] = [[] for _ in range(self.num)]
        for ring, owner in zip(_split(self.points, self.lengths), self.owners.tolist(), strict=True):
            instances[owner].append(ring)
        return PolygonMasks(instances, height, width)

    def affine(self, matrix: np.ndarray) -> 'FlatPolygons':
        """Map every point by a (2, 3) or (3, 3) affine matrix."""
        points = self.points @ matrix[:2, :2].T + matrix[:2, 2]
        return FlatPolygons(points, self.lengths, self.owners, self.num)

    def select(self, keep: np.ndarray) -> 'FlatPolygons':
        """Keep the instances of a (N,) boolean mask and renumber them."""
        rings = keep[self.owners]
        renumber = np.cumsum(keep) - 1
        points = self.points[np.repeat(rings, self.lengths)]
        return FlatPolygons(points, self.lengths[rings], renumber[self.owners[rings]], int(keep.sum()))

    def clip(self, width: float, height: float) -> tuple['FlatPolygons', np.ndarray]:
        """Cut everything to the rectangle ``[0, width] x [0, height]`` (Sutherland-Hodgman).

        Returns:
            tuple: The clipped polygons, and the (N, 4) xyxy boxes of what is visible of each instance; an instance of
            which nothing is visible (or less than 1/16 px along the border) has a box of zeros.
        """
        boxes = np.tile([np.inf, np.inf, -np.inf, -np.inf], (self.num, 1))
        if len(self.lengths) == 0:
            return self, np.zeros((self.num, 4))
        starts = np.cumsum(self.lengths) - self.lengths
        low = np.minimum.reduceat(self.points, starts)
        high = np.maximum.reduceat(self.points, starts)
        size = np.array([width, height], dtype=np.float64)
        whole = ((low >= 0) & (high <= size)).all(1)
        crossing = ~whole & ((high > 0) & (low < size)).all(1)

        points = self.points[np.repeat(whole, self.lengths)]
        lengths, owners = self.lengths[whole], self.owners[whole]
        extents, extent_owners = np.concatenate([low, high], axis=1)[whole], owners
        if crossing.any():
            source = self.points[np.repeat(crossing, self.lengths)], self.lengths[crossing]
            cut, cut_lengths, cut_ids = _drop_flat(*_clip_rings(*source, size))
            points = np.concatenate([points, cut])
            lengths = np.concatenate([lengths, cut_lengths])
            owners = np.concatenate([owners, self.owners[crossing][cut_ids]])
            seen, seen_ids = _visible_extents(*source, size)
            kept = np.isin(seen_ids, cut_ids)
            extents = np.concatenate([extents, seen[kept]])
            extent_owners = np.concatenate([extent_owners, self.owners[crossing][seen_ids[kept]]])
        np.minimum.at(boxes[:, :2], extent_owners, extents[:, :2])
        np.maximum.at(boxes[:, 2:], extent_owners, extents[:, 2:])
        boxes[~np.isfinite(boxes).all(1)] = 0
        return FlatPolygons(points, lengths, owners, self.num), boxes

    def rasterize(self, height: int, width: int, stride: int = 1) -> np.ndarray:
        """Draw each instance on a grid of ``height // stride`` by ``width // stride`` cells.

        A cell is set when its centre lies inside (pycocotools' rule, the one mask AP is scored with). An instance too
        thin to cover any centre sets the one cell under the middle of its box, so that no instance is empty.

        Returns:
            np.ndarray: (N, height // stride, width // stride) uint8, 0 or 1.
        """
        rows, cols = height // stride, width // stride
        canvas = np.zeros((self.num, rows, cols), dtype=np.uint8)
        if len(self.lengths) == 0:
            return canvas
        rings = _split(self.points / stride, self.lengths)
        by_owner: list[list[Any]] = [[] for _ in range(self.num)]
        for rle, owner in zip(mask_utils.frPyObjects(rings, rows, cols), self.owners.tolist(), strict=True):
            by_owner[owner].append(rle)
        drawn = [i for i, rles in enumerate(by_owner) if rles]
        merged = [by_owner[i][0] if len(by_owner[i]) == 1 else mask_utils.merge(by_owner[i]) for i in drawn]
        canvas[drawn] = mask_utils.decode(merged).transpose(2, 0, 1)
        for i in np.flatnonzero(mask_utils.area(merged) == 0).tolist():
            points = self.points[np.repeat(self.owners == drawn[i], self.lengths)]
            x, y = (points.min(0) + points.max(0)) / (2 * stride)
            canvas[drawn[i], min(max(int(y), 0), rows - 1), min(max(int(x), 0), cols - 1)] = 1
        return canvas


def _split(points: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Flat ``x0, y0, x1, y1, ...`` views of each ring."""
    flat = np.ascontiguousarray(points).reshape(-1)
    ends = np.cumsum(lengths) * 2
    return [flat[start:end] for start, end in zip((ends - 2 * lengths).tolist(), ends.tolist(), strict=True)]


def _neighbours(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the next and of the previous point within each ring."""
    ends = np.cumsum(lengths)
    starts = ends - lengths
    index = np.arange(int(lengths.sum()))
    following, previous = index + 1, index - 1
    following[ends - 1] = starts
    previous[starts] = ends - 1
    return following, previous


def _clip_rings(points: np.ndarray, lengths: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clip rings to ``[0, size]``; returns points, lengths and the index of the source ring."""
    ids = np.arange(len(lengths))
    for axis, upper in ((0, False), (0, True), (1, False), (1, True)):
        bound = float(size[axis]) if upper else 0.0
        points, lengths = _clip_half_plane(points, lengths, axis, bound, upper)
        points, lengths, ids = _drop_short(points, lengths, ids, 3)
    return _drop_spikes(points, lengths, ids)


def _clip_half_plane(
    points: np.ndarray, lengths: np.ndarray, axis: int, bound: float, upper: bool
) -> tuple[np.ndarray, np.ndarray]:
    if len(lengths) == 0:
        return points, lengths
    following, _ = _neighbours(lengths)
    depth = bound - points[:, axis] if upper else points[:, axis] - bound
    inside = depth >= 0
    if inside.all():
        return points, lengths
    crosses = inside != inside[following]
    emitted = inside.astype(np.int64) + crosses
    place = np.cumsum(emitted) - emitted
    out = np.empty((int(emitted.sum()), 2))
    out[place[inside]] = points[inside]
    a = np.flatnonzero(crosses)
    b = following[a]
    # Start from the inner end on either side: the two directions of a bridge must give the very same point.
    inner, outer = np.where(inside[a], a, b), np.where(inside[a], b, a)
    t = depth[inner] / (depth[inner] - depth[outer])
    hit = points[inner] + t[:, None] * (points[outer] - points[inner])
    hit[:, axis] = bound
    out[place[a] + inside[a]] = hit
    return out, np.add.reduceat(emitted, np.cumsum(lengths) - lengths)


def _drop_short(
    points: np.ndarray, lengths: np.ndarray, ids: np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keep = lengths >= least
    if keep.all():
        return points, lengths, ids
    return points[np.repeat(keep, lengths)], lengths[keep], ids[keep]


def _drop_spikes(points: np.ndarray, lengths: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Remove repeated points and there-and-back edges, which clipping leaves along the border; no area changes."""
    for _ in range(8):
        if len(lengths) == 0:
            break
        following, previous = _neighbours(lengths)
        ahead, behind = points[following] - points, points - points[previous]
        repeated = (ahead == 0).all(1)
        cross = ahead[:, 0] * behind[:, 1] - ahead[:, 1] * behind[:, 0]
        reverses = (cross == 0) & ((ahead * behind).sum(1) < 0)
        drop = repeated if repeated.any() else reverses
        if not drop.any():
            break
        starts = np.cumsum(lengths) - lengths
        points, lengths = points[~drop], np.add.reduceat((~drop).astype(np.int64), starts)
        points, lengths, ids = _drop_short(points, lengths, ids, 3)
    return points, lengths, ids


def ring_areas(points: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(R,) absolute areas of rings in px^2 (shoelace)."""
    if len(lengths) == 0:
        return np.zeros(0)
    following, _ = _neighbours(lengths)
    ahead = points[following]
    terms = points[:, 0] * ahead[:, 1] - ahead[:, 0] * points[:, 1]
    return np.abs(np.add.reduceat(terms, np.cumsum(lengths) - lengths)) / 2


def _drop_flat(points: np.ndarray, lengths: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keep = ring_areas(points, lengths) > _MIN_AREA
    return points[np.repeat(keep, lengths)], lengths[keep], ids[keep]


def _visible_extents(source: np.ndarray, source_lengths: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R, 4) extents of the area inside the rectangle, and the index of each one's ring.

    Measured on a rectangle that is smaller by ``_SLIVER`` on each side; what touches its border reaches the other's.
    """
    source, inner = source - _SLIVER, size - 2 * _SLIVER
    points, lengths, ids = _clip_rings(source, source_lengths, inner)
    if len(lengths) == 0:
        return np.zeros((0, 4)), ids
    extents = _ring_extents(points, lengths, ids, inner, source, source_lengths)
    sides, ends = extents.reshape(-1, 2), np.broadcast_to(size, (2 * len(extents), 2))
    moved = np.where(sides <= 0, 0.0, np.where(sides >= inner, ends, sides + _SLIVER))
    return moved.reshape(-1, 4), ids


def _ring_extents(
    points: np.ndarray,
    lengths: np.ndarray,
    ids: np.ndarray,
    size: np.ndarray,
    source: np.ndarray,
    source_lengths: np.ndarray,
) -> np.ndarray:
    """(R, 4) extents of clipped rings.

    Sutherland-Hodgman joins separate visible parts by edges along the border, and these may run around corners where
    the object is not. So a point between two border edges does not count; a corner counts if the source covers it.
    """
    following, previous = _neighbours(lengths)
    on = np.concatenate([points == 0, points == size], axis=1)
    edge = (on & on[following]).any(1)
    counts = ~(edge & edge[previous])
    starts = np.cumsum(lengths) - lengths
    low = np.minimum.reduceat(np.where(counts[:, None], points, np.inf), starts)
    high = np.maximum.reduceat(np.where(counts[:, None], points, -np.inf), starts)
    if not counts.all():
        for corner in ((0.0, 0.0), (size[0], 0.0), (0.0, size[1]), (size[0], size[1])):
            covered = _covers(source, source_lengths, np.asarray(corner), size)[ids]
            low[covered] = np.minimum(low[covered], corner)
            high[covered] = np.maximum(high[covered], corner)
    return np.concatenate([low, high], axis=1)


def _covers(points: np.ndarray, lengths: np.ndarray, corner: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(R,) whether each ring covers a corner of the rectangle (even-odd rule)."""
    probe = np.clip(corner, _CORNER_STEP, size - _CORNER_STEP)
    following, _ = _neighbours(lengths)
    ahead = points[following]
    straddles = (points[:, 1] > probe[1]) != (ahead[:, 1] > probe[1])
    rise = np.where(straddles, ahead[:, 1] - points[:, 1], 1.0)
    at = points[:, 0] + (probe[1] - points[:, 1]) / rise * (ahead[:, 0] - points[:, 0])
    hits = (straddles & (at > probe[0])).astype(np.int64)
    return np.add.reduceat(hits, np.cumsum(lengths) - lengths) % 2 == 1


def rle_to_polygons(rle: dict, height: int, width: int) -> list[np.ndarray]:
    """Polygons of a run-length mask that rasterise back to exactly that mask.

    Contours are traced on the mask enlarged twice, so they run a quarter of a pixel inside the pixel edges and never
    through a pixel centre; holes become keyholes.

    Args:
        rle (dict): COCO's ``{'size': [h, w], 'counts': ...}``, compressed (str or bytes) or not (list of int).
        height (int): H of the image, px.
        width (int): W of the image, px.

    Returns:
        list[np.ndarray]: Flat ``x0, y0, x1, y1, ...`` float64 arrays, empty for an empty mask.

    Raises:
        ValueError: The mask is of another size than the image.
    """
    if tuple(rle['size']) != (height, width):
        raise ValueError(f'RLE mask is of size {list(rle["size"])} (h, w), its image of [{height}, {width}]')
    if isinstance(rle['counts'], list):
        rle = mask_utils.frPyObjects(rle, height, width)
    x, y, w, h = (int(v) for v in mask_utils.toBbox(rle))
    if w == 0 or h == 0:
        return []
    crop = mask_utils.decode(rle)[y : y + h, x : x + w]
    twice = np.ascontiguousarray(crop.repeat(2, axis=0).repeat(2, axis=1))
    contours, hierarchy = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [(contour.reshape(-1, 2) + 0.5) / 2 + (x, y) for contour in contours]
    parents = hierarchy[0, :, 3]
    holes: dict[int, list[np.ndarray]] = {}
    for ring, parent in zip(rings, parents.tolist(), strict=True):
        if parent >= 0:
            holes.setdefault(parent, []).append(ring)
    return [_keyhole(rings[i], holes.get(i, [])).reshape(-1) for i in np.flatnonzero(parents < 0).tolist()]


def _bitmap_rings(masks: BitmapMasks) -> list[list[np.ndarray]]:
    """Polygons of bitmaps. An empty one is a ring without area, as mmdet has it."""
    encoded = mask_utils.encode(np.asfortranarray(masks.masks.transpose(1, 2, 0)))
    return [rle_to_polygons(rle, masks.height, masks.width) or [np.zeros(6)] for rle in encoded]


def _keyhole(ring: np.ndarray, holes: Sequence[np.ndarray]) -> np.ndarray:
    """One ring that leaves the holes out: each is entered from the nearest point of what was joined before."""
    for hole in holes:
        near = int(((ring - hole[0]) ** 2).sum(1).argmin())
        ring = np.concatenate([ring[: near + 1], hole, hole[:1], ring[near:]])
    return ring
