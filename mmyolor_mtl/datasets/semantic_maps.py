"""Semantic maps painted from annotation records: things over stuff, as COCO-Stuff's published maps are."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils

from .label_space import UNLABELLED

STUFF_OTHER_ID = 183  # 'other' of COCO's stuff JSON: one mask over everything that is no stuff


def render_semantic_map(instances: Iterable[Mapping], stuff: Iterable[Mapping], height: int, width: int) -> np.ndarray:
    """Paint the map of one image from COCO's instances JSON and COCO-Stuff's stuff JSON.

    Things lie over stuff, and of several things the one that stands later in the file is on top. Crowds and *other*
    (id 183, the complement of all stuff) leave no trace. These rules give back COCO-Stuff's PNGs exactly.

    Args:
        instances (Iterable[Mapping]): Annotations of the image in the instances JSON, in the file's order.
        stuff (Iterable[Mapping]): Its annotations in the stuff JSON.
        height (int): H of the image, px.
        width (int): W of the image, px.

    Returns:
        np.ndarray: (H, W) uint8, category id - 1, 255 = unlabelled: as the published ``stuffthingmaps`` are written.

    Raises:
        ValueError: A category id is outside [1, 254], or a segmentation is neither polygons nor run lengths of the
            image's size. Names the annotation.
    """
    records = [ann for ann in stuff if ann['category_id'] != STUFF_OTHER_ID]
    records += [ann for ann in instances if not ann.get('iscrowd')]
    canvas = np.full((height, width), UNLABELLED, dtype=np.uint8, order='F')
    for ann in records:
        if not 1 <= ann['category_id'] < UNLABELLED:
            raise ValueError(f'annotation {ann.get("id")}: category id {ann["category_id"]} is outside [1, 254]')
        try:
            paint(canvas, ann.get('segmentation'), ann['category_id'] - 1)
        except ValueError as error:
            raise ValueError(f'annotation {ann.get("id")} of image {ann.get("image_id")}: {error}') from error
    return np.ascontiguousarray(canvas)


def paint(canvas: np.ndarray, segmentation: Any, value: int) -> None:
    """Set a mask's pixels of a canvas to one value, in place.

    Args:
        canvas (np.ndarray): (H, W) uint8 in column order (``order='F'``), the order of run lengths.
        segmentation (list | dict | None): COCO's polygons or run lengths, see :func:`to_rle`; None or [] paints
            nothing.
        value (int): In [0, 255].

    Raises:
        ValueError: As for :func:`to_rle`.
    """
    rle = to_rle(segmentation, *canvas.shape)
    if rle is None:
        return
    x, _, w, _ = (int(v) for v in mask_utils.toBbox(rle))
    columns = mask_utils.decode(rle).T[x : x + w]
    np.putmask(canvas.T[x : x + w], columns.view(bool), value)


def to_rle(segmentation: Any, height: int, width: int) -> dict | None:
    """Compressed run lengths of a COCO segmentation.

    Args:
        segmentation (list | dict | None): Polygons (lists or arrays of x, y in px), or run lengths, compressed or not.
        height (int): H of the image, px.
        width (int): W of the image, px.

    Returns:
        dict | None: ``{'size': [H, W], 'counts': ...}``, None if there is no polygon of three points.

    Raises:
        ValueError: It is neither, or its run lengths are of another size than the image.
    """
    if isinstance(segmentation, Mapping):
        if list(segmentation['size']) != [height, width]:
            raise ValueError(f'RLE mask is of size {list(segmentation["size"])} (h, w), not [{height}, {width}]')
        if isinstance(segmentation['counts'], list):
            return mask_utils.frPyObjects(segmentation, height, width)
        return dict(segmentation)
    if segmentation is not None and not isinstance(segmentation, list):
        raise ValueError(f'segmentation is a {type(segmentation).__name__}, neither polygons nor RLE')
    # Four numbers would be taken for a box.
    polygons = [np.asarray(ring, dtype=np.float64) for ring in segmentation or () if len(ring) >= 6]
    if not polygons:
        return None
    return mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))
