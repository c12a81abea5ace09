"""Mosaic of four images (REFERENCE_SPEC 4.3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, Compose

from mmyolor_mtl.registry import TRANSFORMS
from mmyolor_mtl.utils.letterbox import PAD_VALUE, fitted_size

from .geometric import Letterbox
from .labels import concat_labels, move_labels, require_network_space
from .tiles import Tile, TiledCanvas, draw_deferred

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
        defer (bool): Leave the drawing to the next transform of this package: ``img`` is a :class:`TiledCanvas` until
            then and there is no ``gt_seg_map``. :class:`MTLRandomAffine` then draws what it shows, once, straight from
            the source pictures. Transforms of other packages need an array: leave it off before them.

    Raises:
        ValueError: ``prob`` is out of range.
    """

    def __init__(
        self,
        img_scale: tuple[int, int],
        prob: float = 1.0,
        pre_transform: Sequence[Any] = LOAD,
        pad_val: int = PAD_VALUE,
        defer: bool = False,
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob={prob} must be in [0, 1]')
        self.img_scale = (int(img_scale[0]), int(img_scale[1]))
        self.prob = prob
        self.pre_transform = Compose(list(pre_transform))
        self.pad_val = pad_val
        self.defer = defer
        self._letterbox = Letterbox(self.img_scale, pad_val=pad_val, area_shrink=False)

    def transform(self, results: dict) -> dict:
        """Build the canvas and move all labels there."""
        require_network_space(results, type(self).__name__)
        if np.random.random() >= self.prob:
            return self._letterbox(results)
        width, height = self.img_scale
        centre = (int(np.random.uniform(0.5, 1.5) * width), int(np.random.uniform(0.5, 1.5) * height))
        parts = [results] + [draw_partner(results, self.pre_transform, type(self).__name__) for _ in range(3)]
        shape = (2 * height, 2 * width)
        tiles = [self._place(part, position, centre, shape) for position, part in enumerate(parts)]
        owners = np.repeat(np.arange(4), [len(part.get('gt_bboxes', ())) for part in parts])
        results.update(concat_labels(parts, shape))
        results.pop('gt_seg_map', None)
        results['img'] = TiledCanvas(*shape, self.pad_val, tiles, owners)
        results['img_shape'] = shape
        if not self.defer:
            draw_deferred(results)
        return results

    def _place(self, part: dict, position: int, centre: tuple[int, int], shape: tuple[int, int]) -> Tile:
        """Place a picture (0 top left, 1 top right, 2 bottom left, 3 bottom right) and move its labels there."""
        height, width = part['img'].shape[:2]
        h, w = fitted_size((height, width), self.img_scale)
        left = centre[0] if position % 2 else centre[0] - w
        top = centre[1] if position >= 2 else centre[1] - h
        matrix = np.array([[w / width, 0, left], [0, h / height, top], [0, 0, 1]])
        move_labels(part, matrix, shape)
        return Tile(part['img'], part.get('gt_seg_map'), matrix)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(img_scale={self.img_scale}, prob={self.prob}, pad_val={self.pad_val}, '
            f'defer={self.defer})'
        )
