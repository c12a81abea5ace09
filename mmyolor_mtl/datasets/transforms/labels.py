"""Moving all labels of a sample together, and warping its pixels to match.

Matrices are (3, 3) and act on continuous coordinates (pixel ``i`` spans ``[i, i + 1)``), in which polygons and boxes
are given. OpenCV counts from pixel centres, which is half a pixel less; :func:`warp_pixels` corrects for that, so
image, semantic map and polygons stay together at any scale.

Labels may come from a pipeline of mmdet, see :func:`takes_mmdet_labels`. ``gt_seg_map`` is (H, W), as all transforms
of OpenMMLab know it; pictures that were mixed have (L, H, W).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from mmdet.structures.bbox import BaseBoxes, HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from .polygons import FlatPolygons

_HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
_HALF_BACK = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])


def takes_mmdet_labels(transform: Callable[[Any, dict], dict]) -> Callable[[Any, dict], dict]:
    """Let a transform that works on (N, 4) arrays and polygons take boxes of mmdet's classes and bitmaps too.

    The boxes are given back as they came; bitmaps become polygons that draw the same.
    """

    @functools.wraps(transform)
    def wrapper(self: Any, results: dict) -> dict:
        boxes, masks = results.get('gt_bboxes'), results.get('gt_masks')
        if isinstance(masks, BitmapMasks):
            results['gt_masks'] = FlatPolygons.from_masks(masks).to_masks(masks.height, masks.width)
        if not isinstance(boxes, BaseBoxes):
            return transform(self, results)
        results['gt_bboxes'] = boxes.convert_to('hbox').numpy()
        results = transform(self, results)
        if 'gt_bboxes' in results:  # packed samples have none
            results['gt_bboxes'] = HorizontalBoxes(results['gt_bboxes']).convert_to(type(boxes))
        return results

    return wrapper


def layers_of(seg_map: np.ndarray) -> np.ndarray:
    """(L, H, W) layers of a semantic map, which is (H, W) if there is one."""
    return seg_map if seg_map.ndim == 3 else seg_map[None]


def to_seg_map(layers: Sequence[np.ndarray]) -> np.ndarray:
    """The semantic map of L layers (H, W)."""
    return layers[0] if len(layers) == 1 else np.stack(layers)


def require_network_space(results: dict, name: str) -> None:
    """Fail if the labels belong to the original image while its pixels were resized.

    Raises:
        ValueError: The annotations were loaded after the resizing, as test pipelines do.
    """
    if results.get('gt_space') == 'original':
        raise ValueError(f'{name} moves image and labels together: put LoadMTLAnnotations before Letterbox')


def move_labels(
    results: dict,
    matrix: np.ndarray,
    out_shape: tuple[int, int],
    *,
    min_side: float = 0.0,
    min_area_ratio: float = 0.0,
    max_aspect: float = np.inf,
) -> None:
    """Map boxes and masks by an affine matrix, cut them to the canvas and drop what is hardly left (in place).

    Boxes of images with masks become the tight boxes of the visible part of the mask.

    Args:
        results (dict): Sample with ``gt_bboxes`` (N, 4) and perhaps ``gt_masks``.
        matrix (np.ndarray): (3, 3) affine matrix on continuous pixel coordinates.
        out_shape (tuple[int, int]): (h, w) of the canvas, px.
        min_side (float): Width and height must exceed it, px.
        min_area_ratio (float): Least visible part of the box, relative to its scaled area before.
        max_aspect (float): Longer over shorter side must stay below it.
    """
    if 'gt_bboxes' not in results:
        return
    height, width = out_shape
    before = results['gt_bboxes'].astype(np.float64)
    polygons = None
    if 'gt_masks' in results:
        polygons, boxes = FlatPolygons.from_masks(results['gt_masks']).affine(matrix).clip(width, height)
    else:
        boxes = _move_boxes(before, matrix)
        boxes = np.clip(boxes, 0, [width, height, width, height])
    sides = boxes[:, 2:] - boxes[:, :2]
    area = sides.prod(1)
    scaled = (before[:, 2:] - before[:, :2]).prod(1) * abs(np.linalg.det(matrix[:2, :2]))
    with np.errstate(divide='ignore', invalid='ignore'):
        aspect = sides.max(1, initial=0) / sides.min(1, initial=np.inf)
    keep = (sides > min_side).all(1) & (area > min_area_ratio * scaled) & (aspect < max_aspect)
    results['gt_bboxes'] = boxes[keep].astype(np.float32)
    for key in {'gt_bboxes_labels', 'gt_ignore_flags'} & results.keys():
        results[key] = results[key][keep]
    if polygons is not None:
        results['gt_masks'] = (polygons if keep.all() else polygons.select(keep)).to_masks(height, width)


def _move_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) @ matrix[:2, :2].T + matrix[:2, 2]
    return np.concatenate([corners.min(1), corners.max(1)], axis=1)


def concat_labels(parts: list[dict], shape: tuple[int, int]) -> dict[str, Any]:
    """Instances of several samples with the same labelled vision tasks, in order.

    Args:
        parts (list[dict]): Samples whose labels live on one canvas.
        shape (tuple[int, int]): (h, w) of it, px.

    Returns:
        dict: ``gt_bboxes, gt_bboxes_labels, gt_ignore_flags, gt_masks``, as far as the samples have them.
    """
    merged: dict[str, Any] = {}
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
        if key in parts[0]:
            merged[key] = np.concatenate([part[key] for part in parts])
    if 'gt_masks' in parts[0]:
        merged['gt_masks'] = PolygonMasks([one for part in parts for one in part['gt_masks'].masks], *shape)
    return merged


def warp_pixels(
    pixels: np.ndarray, matrix: np.ndarray, out_shape: tuple[int, int], fill: int, nearest: bool = False
) -> np.ndarray:
    """Warp an image or a map by a (3, 3) matrix on continuous pixel coordinates.

    Args:
        pixels (np.ndarray): (H, W) or (H, W, C) uint8.
        matrix (np.ndarray): (3, 3) affine matrix, source to target.
        out_shape (tuple[int, int]): (h, w) of the result, px.
        fill (int): Value outside the source, 0..255.
        nearest (bool): Nearest neighbour instead of bilinear.

    Returns:
        np.ndarray: (h, w) or (h, w, C) uint8.
    """
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    value = (fill,) * 3 if pixels.ndim == 3 else fill
    return cv2.warpAffine(pixels, centred(matrix), out_shape[::-1], flags=flags, borderValue=value)


def centred(matrix: np.ndarray) -> np.ndarray:
    """A (3, 3) matrix on continuous coordinates as OpenCV wants it: (2, 3), on pixel centres."""
    return (_HALF_BACK @ matrix @ _HALF)[:2]
