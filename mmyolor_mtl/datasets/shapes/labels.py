"""Ground truth of a scene in COCO's formats. All of it follows from the id map, so all of it agrees to the pixel."""

from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from .classes import CATEGORY_ID, SHAPES_METAINFO, STUFF, THINGS, Stuff, Thing
from .scene import Scene

UNLABELLED = 255
_COLOUR = dict(zip(CATEGORY_ID.values(), SHAPES_METAINFO['palette'] + SHAPES_METAINFO['stuff_palette'], strict=True))


def categories(stuff: bool = False) -> list[dict[str, Any]]:
    """COCO's list of categories: things, or with ``stuff`` things and stuff as panoptic files have them."""
    kinds: list[Thing | Stuff] = [*THINGS, *STUFF] if stuff else [*THINGS]
    found = []
    for kind in kinds:
        entry: dict[str, Any] = {'supercategory': kind.supercategory, 'id': CATEGORY_ID[kind.name], 'name': kind.name}
        if stuff:
            entry.update(isthing=int(isinstance(kind, Thing)), color=list(kind.colour))
        found.append(entry)
    return found


def outlines(mask: np.ndarray) -> list[list[float]]:
    """Polygons along the pixel edges of a mask (h, w) without holes: flat lists x1, y1, x2, y2, ... in px."""
    # In the mask at double size a pixel's left and right columns are 2x and 2x + 1; rounding (c + 1) // 2 sends them to
    # its edges x and x + 1, so a contour through pixel centres becomes one along pixel edges.
    double = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, _ = cv2.findContours(double, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for contour in contours:
        corners = (contour[:, 0, :] + 1) // 2
        corners = corners[np.any(corners != np.roll(corners, 1, axis=0), axis=1)]
        before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
        turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
        back = (before * after).sum(axis=1) < 0
        polygons.append(corners[turns | back].ravel().astype(float).tolist())
    return polygons


def segmentation(mask: np.ndarray, box: tuple[int, int, int, int], crowd: bool) -> list[list[float]] | dict[str, Any]:
    """COCO segmentation of a mask (h, w): polygons where they give back the very mask, else RLE.

    Args:
        mask: bool (h, w).
        box: x, y, w, h of the mask, px.
        crowd: Whether to write the uncompressed RLE that COCO uses for crowds.
    """
    height, width = mask.shape
    x, y, w, h = box
    if not crowd:
        crop = mask[y : y + h, x : x + w]
        polygons = outlines(crop)
        drawn = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(polygons, h, w)))
        if np.array_equal(drawn.astype(bool), crop):
            offset = np.array([x, y])
            return [(np.reshape(polygon, (-1, 2)) + offset).ravel().tolist() for polygon in polygons]
        rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
        return {'size': [height, width], 'counts': rle['counts'].decode('ascii')}
    flat = np.concatenate([[False], mask.ravel(order='F'), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    return {'size': [height, width], 'counts': counts if edges.size == 0 or edges[-1] < mask.size else counts[:-1]}


def semantic_map(scene: Scene) -> np.ndarray:
    """uint8 (h, w): category id - 1 as in COCO-Stuff's PNGs, 255 where unlabelled."""
    lookup = np.full(1 + max((segment.index for segment in scene.segments), default=0), UNLABELLED, np.uint8)
    for segment in scene.segments:
        lookup[segment.index] = segment.category_id - 1
    return lookup[scene.id_map]


def describe(scene: Scene) -> tuple[list[dict[str, Any]], list[dict[str, Any]], np.ndarray]:
    """Instances, panoptic segments and the panoptic picture of a scene.

    Returns:
        COCO instance annotations without ``id`` and ``image_id``, with the object's ``colour`` added; panoptic
        ``segments_info``; uint8 (h, w, 3) RGB whose colours encode the segment ids (R + 256 G + 65536 B), black where
        unlabelled.
    """
    instances, segments = [], []
    painted = np.zeros((1 + max((segment.index for segment in scene.segments), default=0), 3), np.uint8)
    taken: set[int] = {0}
    for segment in scene.segments:
        mask = scene.id_map == segment.index
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = int(cols[0]), int(rows[0])
        box = (x, y, int(cols[-1]) + 1 - x, int(rows[-1]) + 1 - y)
        area = int(np.count_nonzero(mask))
        colour, number = _free_colour(segment.category_id, taken)
        painted[segment.index] = colour
        common = {'category_id': segment.category_id, 'iscrowd': int(segment.crowd), 'bbox': list(box), 'area': area}
        segments.append({'id': number, **common})
        if segment.is_thing:
            colour_name = {} if segment.colour is None else {'colour': segment.colour}
            instances.append({'segmentation': segmentation(mask, box, segment.crowd), **common, **colour_name})
    return instances, segments, painted[scene.id_map]


def _free_colour(category_id: int, taken: set[int]) -> tuple[list[int], int]:
    """A shade of the category's colour that no other segment of the picture has, and the id that it encodes."""
    red, green, blue = _COLOUR[category_id]
    colour = [red, green, blue]
    while True:
        number = colour[0] + 256 * colour[1] + 65536 * colour[2]
        if number not in taken:
            taken.add(number)
            return colour, number
        # Darker by a seventh; once black is reached, one step in blue is enough.
        colour = [channel * 6 // 7 for channel in colour] if max(colour) > 24 else [*colour[:2], (colour[2] + 1) % 256]
