"""Letterbox, random affine and flip: pixels, boxes, masks and semantic map move together."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmyolor_mtl.registry import TRANSFORMS
from mmyolor_mtl.utils.letterbox import PAD_VALUE, letterbox, pad_pixels, resize_pixels

from ..label_space import UNLABELLED
from .labels import layers_of, move_labels, require_network_space, takes_mmdet_labels, to_seg_map, warp_pixels
from .polygons import FlatPolygons
from .tiles import TiledCanvas, draw_deferred, show


@TRANSFORMS.register_module()
class Letterbox(BaseTransform):
    """Fit the picture into a frame, keep its aspect, centre it on grey (REFERENCE_SPEC 4.2).

    Labels move along if they are loaded already; see :class:`LoadMTLAnnotations`.

    Modified keys: ``img, img_shape``, labels. Added keys: ``scale_factor`` (w, h), ``pad_param`` (top, bottom, left,
    right) px.

    Args:
        scale (tuple[int, int]): (w, h) of the frame, px.
        allow_scale_up (bool): Enlarge smaller pictures.
        pad_val (int): Grey of the padding, 0..255.
        area_shrink (bool): Average pixels when shrinking; otherwise bilinear, which training uses.
    """

    def __init__(
        self,
        scale: tuple[int, int],
        allow_scale_up: bool = True,
        pad_val: int = PAD_VALUE,
        area_shrink: bool = True,
    ) -> None:
        self.scale = (int(scale[0]), int(scale[1]))
        self.allow_scale_up = allow_scale_up
        self.pad_val = pad_val
        self.area_shrink = area_shrink

    @takes_mmdet_labels
    def transform(self, results: dict) -> dict:
        """Resize and pad."""
        draw_deferred(results)
        fitted = letterbox(results['img'], self.scale, self.allow_scale_up, self.pad_val, self.area_shrink)
        results['img'] = fitted.pixels
        results['img_shape'] = fitted.pixels.shape[:2]
        results['scale_factor'] = ratio_w, ratio_h = fitted.scale_factor
        results['pad_param'] = top, bottom, left, right = fitted.padding
        matrix = np.array([[ratio_w, 0, left], [0, ratio_h, top], [0, 0, 1]])
        move_labels(results, matrix, results['img_shape'])
        if 'gt_seg_map' in results:
            inner = (self.scale[1] - top - bottom, self.scale[0] - left - right)
            results['gt_seg_map'] = to_seg_map(
                [
                    pad_pixels(resize_pixels(layer, inner, cv2.INTER_NEAREST_EXACT), fitted.padding, UNLABELLED)
                    for layer in layers_of(results['gt_seg_map'])
                ]
            )
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(scale={self.scale}, allow_scale_up={self.allow_scale_up}, pad_val={self.pad_val}, '
            f'area_shrink={self.area_shrink})'
        )


@TRANSFORMS.register_module()
class MTLRandomAffine(BaseTransform):
    """Scale, shift, rotate and shear at random (REFERENCE_SPEC 4.3).

    The middle of the input, a picture or a mosaic of any size, goes to the middle of the output and is then shifted.

    Args:
        img_scale (tuple[int, int]): (w, h) of the output, px.
        scaling_ratio_range (tuple[float, float]): Scale factor is uniform in it.
        max_translate_ratio (float): Shift is uniform up to this part of the output's width and height.
        max_rotate_degree (float): Rotation is uniform up to it, degrees.
        max_shear_degree (float): Shear along x and along y are uniform up to it, degrees.
        min_side (float): An object is dropped unless its box is wider and higher than this, px ...
        min_area_ratio (float): ... more than this part of it is visible ...
        max_aspect (float): ... and its sides differ by less than this factor.
        pad_val (int): Grey outside the picture, 0..255.

    Raises:
        ValueError: A range is empty or negative.
    """

    def __init__(
        self,
        img_scale: tuple[int, int],
        scaling_ratio_range: tuple[float, float] = (0.1, 1.9),
        max_translate_ratio: float = 0.1,
        max_rotate_degree: float = 0.0,
        max_shear_degree: float = 0.0,
        min_side: float = 2.0,
        min_area_ratio: float = 0.01,
        max_aspect: float = 100.0,
        pad_val: int = PAD_VALUE,
    ) -> None:
        low, high = scaling_ratio_range
        if not 0 < low <= high:
            raise ValueError(f'scaling_ratio_range={scaling_ratio_range} must be positive and ascending')
        if not 0 <= max_translate_ratio <= 1:
            raise ValueError(f'max_translate_ratio={max_translate_ratio} must be in [0, 1]')
        if max_rotate_degree < 0 or not 0 <= max_shear_degree < 90:
            raise ValueError(
                f'max_rotate_degree={max_rotate_degree} and max_shear_degree={max_shear_degree} in [0, 90)'
            )
        self.img_scale = (int(img_scale[0]), int(img_scale[1]))
        self.scaling_ratio_range = (float(low), float(high))
        self.max_translate_ratio = max_translate_ratio
        self.max_rotate_degree = max_rotate_degree
        self.max_shear_degree = max_shear_degree
        self.rules = {'min_side': min_side, 'min_area_ratio': min_area_ratio, 'max_aspect': max_aspect}
        self.pad_val = pad_val

    def random_matrix(self, shape: tuple[int, int]) -> np.ndarray:
        """Draw a (3, 3) matrix for an input of (h, w) px."""
        width, height = self.img_scale
        limit = self.max_translate_ratio
        scale = np.random.uniform(*self.scaling_ratio_range)
        shift = np.random.uniform(0.5 - limit, 0.5 + limit, 2) * (width, height)
        angle = np.deg2rad(np.random.uniform(-self.max_rotate_degree, self.max_rotate_degree))
        shear = np.tan(np.deg2rad(np.random.uniform(-self.max_shear_degree, self.max_shear_degree, 2)))
        centre = np.array([[1, 0, -shape[1] / 2], [0, 1, -shape[0] / 2], [0, 0, 1]])
        turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        linear = np.eye(3)
        linear[:2, :2] = np.array([[1, shear[0]], [shear[1], 1]]) @ turn
        linear[:2, 2] = shift
        return linear @ centre

    @takes_mmdet_labels
    def transform(self, results: dict) -> dict:
        """Warp pixels and labels."""
        require_network_space(results, type(self).__name__)
        matrix = self.random_matrix(results['img'].shape[:2])
        out_shape = (self.img_scale[1], self.img_scale[0])
        move_labels(results, matrix, out_shape, **self.rules)
        if isinstance(results['img'], TiledCanvas):
            show(results, results['img'], matrix, out_shape)
            return results
        results['img'] = warp_pixels(results['img'], matrix, out_shape, self.pad_val)
        results['img_shape'] = out_shape
        if 'gt_seg_map' in results:
            results['gt_seg_map'] = to_seg_map(
                [
                    warp_pixels(layer, matrix, out_shape, UNLABELLED, nearest=True)
                    for layer in layers_of(results['gt_seg_map'])
                ]
            )
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(img_scale={self.img_scale}, scaling_ratio_range={self.scaling_ratio_range}, '
            f'max_translate_ratio={self.max_translate_ratio}, max_rotate_degree={self.max_rotate_degree}, '
            f'max_shear_degree={self.max_shear_degree}, rules={self.rules}, pad_val={self.pad_val})'
        )


@TRANSFORMS.register_module()
class MTLRandomFlip(BaseTransform):
    """Mirror at random, left and right or upside down; for both put two of them into the pipeline.

    Added keys: ``flip`` (bool), ``flip_direction`` ('horizontal', 'vertical', 'diagonal' for both, or None).

    Args:
        prob (float): How often, in [0, 1].
        direction (str): 'horizontal' or 'vertical'.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, prob: float = 0.5, direction: str = 'horizontal') -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob={prob} must be in [0, 1]')
        if direction not in ('horizontal', 'vertical'):
            raise ValueError(f"direction={direction!r} must be 'horizontal' or 'vertical'")
        self.prob = prob
        self.direction = direction

    @takes_mmdet_labels
    def transform(self, results: dict) -> dict:
        """Mirror pixels and labels, or leave them."""
        require_network_space(results, type(self).__name__)
        draw_deferred(results)
        before = results.get('flip_direction')
        flipped = bool(np.random.random() < self.prob)
        if flipped:
            self._mirror(results)
            results['flip_direction'] = {None: self.direction, self.direction: None}.get(before, 'diagonal')
        else:
            results['flip_direction'] = before
        results['flip'] = results['flip_direction'] is not None
        return results

    def _mirror(self, results: dict) -> None:
        axis = 0 if self.direction == 'horizontal' else 1  # of coordinates
        height, width = results['img'].shape[:2]
        size = (width, height)[axis]
        results['img'] = cv2.flip(results['img'], 1 - axis)
        if 'gt_bboxes' in results:
            boxes = results['gt_bboxes'].copy()
            boxes[:, [axis, axis + 2]] = size - boxes[:, [axis + 2, axis]]
            results['gt_bboxes'] = boxes
        if 'gt_masks' in results:
            mirror = np.eye(3)
            mirror[axis, axis], mirror[axis, 2] = -1, size
            results['gt_masks'] = FlatPolygons.from_masks(results['gt_masks']).affine(mirror).to_masks(height, width)
        if 'gt_seg_map' in results:
            results['gt_seg_map'] = to_seg_map(
                [cv2.flip(layer, 1 - axis) for layer in layers_of(results['gt_seg_map'])]
            )

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, direction={self.direction!r})'
