"""Colour changes."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmyolor_mtl.registry import TRANSFORMS

from .tiles import draw_deferred


@TRANSFORMS.register_module()
class HSVJitter(BaseTransform):
    """Multiply hue, saturation and value by random factors (REFERENCE_SPEC 4.3).

    Args:
        hue (float): The factor is ``1 + U(-1, 1) * hue``, on OpenCV's hue of 0..179, which wraps around.
        saturation (float): Same for saturation, cut at 255.
        value (float): Same for value, cut at 255.

    Raises:
        ValueError: A gain is outside [0, 1].
    """

    def __init__(self, hue: float = 0.015, saturation: float = 0.7, value: float = 0.4) -> None:
        self.gains = np.array([hue, saturation, value])
        if not ((self.gains >= 0) & (self.gains <= 1)).all():
            raise ValueError(f'hue={hue}, saturation={saturation}, value={value} must be in [0, 1]')

    def transform(self, results: dict) -> dict:
        """Change the colours of ``img``."""
        draw_deferred(results)
        if not self.gains.any():
            return results
        factors = 1 + np.random.uniform(-1, 1, 3) * self.gains
        levels = np.arange(256)[:, None] * factors
        levels[:, 0] %= 180
        table = np.clip(levels, 0, 255).astype(np.uint8)[None]
        hsv = cv2.cvtColor(results['img'], cv2.COLOR_BGR2HSV)
        results['img'] = cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2BGR)
        return results

    def __repr__(self) -> str:
        hue, saturation, value = self.gains.tolist()
        return f'{type(self).__name__}(hue={hue}, saturation={saturation}, value={value})'
