"""Samples half way through a pipeline, and what must hold for them at any stage."""

import cv2
import numpy as np
from mmcv.transforms import Compose

from mmyolor_mtl.datasets.transforms.labels import layers_of
from mmyolor_mtl.datasets.transforms.polygons import FlatPolygons

from .. import tiny_coco as tiny


def load(dataset, img_id, *transforms):
    """A sample with its labels loaded, after some more transforms."""
    index = next(i for i in range(len(dataset)) if dataset.get_data_info(i)['img_id'] == img_id)
    results = dataset.load_for_mix(index, Compose(tiny.LOAD))
    for transform in transforms:
        results = transform(results)
    return results


def masks_of(results, scale=1):
    """(N, H, W) uint8 masks of a sample, drawn ``scale`` times as large."""
    height, width = results['img'].shape[:2]
    polygons = FlatPolygons.from_masks(results['gt_masks']).affine(np.diag([scale, scale, 1.0]))
    return polygons.rasterize(height * scale, width * scale)


def check_invariants(results, box_margin=0.5, edge=2):
    """Boxes are tight, nothing is outside, nothing is empty, and the semantic map agrees with the masks.

    Args:
        box_margin: Allowed difference of a box and its mask's box, px; masks are drawn finely, as thin ends may cover
            no pixel centre.
        edge: Width of the rim of each mask, and of the canvas, where the semantic map may say something else, px.
    """
    height, width = results['img'].shape[:2]
    assert tuple(results['img_shape'][:2]) == (height, width)
    boxes = results['gt_bboxes']
    count = len(boxes)
    assert boxes.dtype == np.float32 and boxes.shape == (count, 4) and np.isfinite(boxes).all()
    assert (boxes >= 0).all() and (boxes[:, 2:] <= (width, height)).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    assert len(results['gt_bboxes_labels']) == len(results['gt_ignore_flags']) == count
    semantic = None
    if 'gt_seg_map' in results:
        semantic = layers_of(results['gt_seg_map'])
        assert semantic.dtype == np.uint8 and semantic.shape[1:] == (height, width)
    if 'gt_masks' not in results:
        return
    masks = results['gt_masks']
    assert (masks.height, masks.width) == (height, width) and len(masks) == count
    for points in (ring.reshape(-1, 2) for rings in masks.masks for ring in rings):
        assert np.isfinite(points).all() and (points >= 0).all() and (points <= (width, height)).all()
    fine = 8
    for mask, box in zip(masks_of(results, fine), boxes, strict=True):
        xs, ys = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        tight = np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]) / fine
        assert np.abs(tight - box).max() <= box_margin, (tight, box)
    check_semantic(masks_of(results), results['gt_bboxes_labels'], semantic, edge)


def check_semantic(masks, labels, semantic, edge):
    """No mask is empty, and its inner pixels carry its class, except where another mask covers it.

    Args:
        masks: (N, H, W) uint8.
        labels: (N,) classes.
        semantic: (L, H, W) uint8 layers, or None.
        edge: Width of the rim of each mask that is left out, px.
    """
    cover = masks.sum(0, dtype=np.int64)
    kernel = np.ones((2 * edge + 1,) * 2, np.uint8)
    for mask, label in zip(masks, labels, strict=True):
        assert mask.any()
        if semantic is not None:
            inner = cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
            inner &= cv2.dilate((cover > mask).astype(np.uint8), kernel) == 0
            assert (semantic[:, inner] == label).any(0).all()
