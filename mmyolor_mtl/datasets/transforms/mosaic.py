"""Mosaic of four images (REFERENCE_SPEC 4.3)."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform, Compose

from mmyolor_mtl.registry import TRANSFORMS

from ..label_space import UNLABELLED
from .geometric import Letterbox
from .labels import (
    PAD_VALUE,
    concat_labels,
    fitted_size,
    move_labels,
    require_network_space,
    resize_pixels,
)

LOAD = ({'type': 'LoadImageFromFile'}, {'type': 'mmyolor_mtl.LoadMTLAnnotations'})


def draw_partner(results: dict, transforms: Compose, name: str) -> dict:
    """Load a random image with labels for the same vision tasks (with replacement, the image itself included).

    Raises:
        ValueError: The sample does not come from a data set that offers partners.
    """
    dataset = results.get('dataset')
    if dataset is None:
        raise ValueError(f'{name} draws other images: the sample must come from COCOMultiTaskDataset')
    return dataset.load_for_mix(int(np.random.choice(dataset.partners(results['partner_tasks']))), transforms)


@TRANSFORMS.register_module()
class MTLMosaic(BaseTransform):
    """Put the picture and three others around a random point of a canvas twice the size.

    Partners carry labels for the same vision tasks, so that no label is lost and no region seems unlabelled that is
    not. Follow it with :class:`MTLRandomAffine`, which brings the canvas back to size. When it does not happen, the
    picture is letterboxed to ``img_scale`` instead.

    Args:
        img_scale (tuple[int, int]): (w, h) of one tile, px; the canvas is twice as wide and high.
        prob (float): How often, in [0, 1].
        pre_transform (Sequence[dict | callable]): Loads a partner. By default image and annotations.
        pad_val (int): Grey of the empty canvas, 0..255.

    Raises:
        ValueError: ``prob`` is out of range.
    """

    def __init__(
        self,
        img_scale: tuple[int, int],
        prob: float = 1.0,
        pre_transform: Sequence[Any] = LOAD,
        pad_val: int = PAD_VALUE,
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob={prob} must be in [0, 1]')
        self.img_scale = (int(img_scale[0]), int(img_scale[1]))
        self.prob = prob
        self.pre_transform = Compose(list(pre_transform))
        self.pad_val = pad_val
        self._letterbox = Letterbox(self.img_scale, pad_val=pad_val, area_shrink=False)

    def transform(self, results: dict) -> dict:
        """Build the canvas and move all labels there."""
        require_network_space(results, type(self).__name__)
        if np.random.random() >= self.prob:
            return self._letterbox(results)
        width, height = self.img_scale
        centre = (int(np.random.uniform(0.5, 1.5) * width), int(np.random.uniform(0.5, 1.5) * height))
        tiles = [results] + [draw_partner(results, self.pre_transform, type(self).__name__) for _ in range(3)]
        shape = (2 * height, 2 * width)
        canvas = np.full((*shape, 3), self.pad_val, dtype=np.uint8)
        sem_canvas = np.full(shape, UNLABELLED, dtype=np.uint8) if 'gt_seg_map' in results else None
        for position, tile in enumerate(tiles):
            self._place(tile, position, centre, canvas, sem_canvas)
        results.update(concat_labels(tiles, shape))
        results['img'] = canvas
        results['img_shape'] = shape
        if sem_canvas is not None:
            results['gt_seg_map'] = sem_canvas[None]
        return results

    def _place(
        self, tile: dict, position: int, centre: tuple[int, int], canvas: np.ndarray, sem_canvas: np.ndarray | None
    ) -> None:
        """Draw one tile (0 top left, 1 top right, 2 bottom left, 3 bottom right) and move its labels."""
        shape = tile['img'].shape[:2]
        h, w = fitted_size(shape, self.img_scale)
        left = centre[0] if position % 2 else centre[0] - w
        top = centre[1] if position >= 2 else centre[1] - h
        x1, x2 = max(left, 0), min(left + w, canvas.shape[1])
        y1, y2 = max(top, 0), min(top + h, canvas.shape[0])
        inner = slice(y1 - top, y2 - top), slice(x1 - left, x2 - left)
        canvas[y1:y2, x1:x2] = resize_pixels(tile['img'], (h, w))[inner]
        if sem_canvas is not None:
            layer = resize_pixels(tile['gt_seg_map'][0], (h, w), cv2.INTER_NEAREST_EXACT)
            sem_canvas[y1:y2, x1:x2] = layer[inner]
        matrix = np.array([[w / shape[1], 0, left], [0, h / shape[0], top], [0, 0, 1]])
        move_labels(tile, matrix, canvas.shape[:2])

    def __repr__(self) -> str:
        return f'{type(self).__name__}(img_scale={self.img_scale}, prob={self.prob}, pad_val={self.pad_val})'
