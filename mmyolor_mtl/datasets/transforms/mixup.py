"""MixUp of two whole samples (REFERENCE_SPEC 4.3)."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform, Compose

from mmyolor_mtl.registry import TRANSFORMS

from .labels import concat_labels, layers_of, require_network_space
from .mosaic import draw_partner
from .tiles import draw_deferred


@TRANSFORMS.register_module()
class MTLMixUp(BaseTransform):
    """Blend the picture with a second one, which was made the same way, and keep the labels of both.

    The semantic maps become two layers: a blended pixel carries both labels. The caption view is not touched.

    Args:
        prob (float): How often, in [0, 1].
        pre_transform (Sequence[dict | callable]): Makes the second sample: loading, mosaic and affine, as the first.
        beta (float): The share of the first picture is drawn from Beta(beta, beta).

    Raises:
        ValueError: ``prob`` or ``beta`` is out of range; or the two pictures differ in size.
    """

    def __init__(self, prob: float, pre_transform: Sequence[Any], beta: float = 32.0) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob={prob} must be in [0, 1]')
        if beta <= 0:
            raise ValueError(f'beta={beta} must be positive')
        self.prob = prob
        self.beta = beta
        self.pre_transform = Compose(list(pre_transform))

    def transform(self, results: dict) -> dict:
        """Blend, or leave the sample as it is."""
        require_network_space(results, type(self).__name__)
        draw_deferred(results)
        if np.random.random() >= self.prob:
            return results
        share = np.random.beta(self.beta, self.beta)
        other = draw_partner(results, self.pre_transform, type(self).__name__)
        draw_deferred(other)
        shape = results['img'].shape[:2]
        if other['img'].shape[:2] != shape:
            raise ValueError(
                f'mixup of {shape} and {other["img"].shape[:2]} (h, w): its pre_transform must end at the same size '
                'as the transforms before it'
            )
        results['img'] = cv2.addWeighted(results['img'], share, other['img'], 1 - share, 0)
        if 'gt_seg_map' in results:
            results['gt_seg_map'] = np.concatenate([layers_of(one['gt_seg_map']) for one in (results, other)])
        results.update(concat_labels([results, other], shape))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, beta={self.beta})'
