"""Where a picture lies in the network's input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Placement:
    """Where a picture lies in the network's input, between the bars of its letterbox.

    Attributes:
        image (tuple[int, int]): (H, W) of the original picture.
        corner (tuple[int, int]): (y, x) px of the input at which the picture begins.
        shown (tuple[int, int]): (h, w) px of the input that the picture takes.
    """

    image: tuple[int, int]
    corner: tuple[int, int]
    shown: tuple[int, int]

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> 'Placement':
        """Read a sample's metainfo: ``ori_shape``, ``img_shape``; ``pad_param`` (top, bottom, left, right).

        Without ``pad_param``, as from mmdet's ``Resize`` and ``Pad``, the picture begins in the corner and is as large
        as ``scale_factor`` (w, h) says.
        """
        height, width = (int(side) for side in meta['ori_shape'][:2])
        rows, columns = (int(side) for side in meta['img_shape'][:2])
        if 'pad_param' not in meta and 'scale_factor' in meta:
            ratio_w, ratio_h = meta['scale_factor'][:2]
            rows, columns = min(rows, round(height * ratio_h)), min(columns, round(width * ratio_w))
        top, bottom, left, right = (int(bar) for bar in meta.get('pad_param', (0, 0, 0, 0)))
        return cls((height, width), (top, left), (max(rows - top - bottom, 1), max(columns - left - right, 1)))

    @classmethod
    def whole_input(cls, height: int, width: int) -> 'Placement':
        """The input itself as the picture, bars included."""
        return cls((height, width), (0, 0), (height, width))
