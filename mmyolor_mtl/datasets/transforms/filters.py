"""Rare filters of pixels (REFERENCE_SPEC 4.3)."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmyolor_mtl.registry import TRANSFORMS

from .tiles import draw_deferred

_KERNELS = (3, 5, 7)  # px
_CLAHE_LIMITS = (1.0, 4.0)
_CLAHE_TILES = (8, 8)


@TRANSFORMS.register_module()
class RandomFilters(BaseTransform):
    """Now and then a picture that is blurred, median filtered, grey, or of equalised contrast (CLAHE).

    Each of the four happens on its own, in this order. Labels are not touched.

    Args:
        prob (float): How often each of them, in [0, 1].

    Raises:
        ValueError: ``prob`` is out of range.
    """

    def __init__(self, prob: float = 0.01) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob={prob} must be in [0, 1]')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Filter ``img``, or leave it."""
        draw_deferred(results)
        drawn = np.random.random(4) < self.prob
        for happens, change in zip(drawn, (_blur, _median, _grey, _equalise), strict=True):
            if happens:
                results['img'] = change(results['img'])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'


def _blur(image: np.ndarray) -> np.ndarray:
    size = int(np.random.choice(_KERNELS))
    return cv2.blur(image, (size, size))


def _median(image: np.ndarray) -> np.ndarray:
    return cv2.medianBlur(image, int(np.random.choice(_KERNELS)))


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def _equalise(image: np.ndarray) -> np.ndarray:
    lightness, *colour = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2LAB))
    clahe = cv2.createCLAHE(np.random.uniform(*_CLAHE_LIMITS), _CLAHE_TILES)
    return cv2.cvtColor(cv2.merge([clahe.apply(lightness), *colour]), cv2.COLOR_LAB2BGR)
