"""From the network's letterboxed input back to the original picture."""

import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor


def resize_to_image(maps: Tensor, sample: DetDataSample, stride: int = 1) -> Tensor:
    """Cut the padding off and resize bilinearly to the original picture (REFERENCE_SPEC 6.2, 6.3).

    The whole padded map is resized so that its unpadded part gets the size of the picture, then that part is cut out;
    so no map is resized twice and the padding need not be a multiple of the stride.

    Args:
        maps: (C, h, w) float maps over the network input.
        sample: Its metainfo gives ``pad_param`` (top, bottom, left, right), ``img_shape`` and ``ori_shape`` (h, w).
        stride: Input px a cell of the maps.

    Returns:
        (C, H, W) of the original picture.
    """
    height, width = sample.metainfo['ori_shape'][:2]
    top, bottom, left, right = sample.metainfo.get('pad_param', (0, 0, 0, 0))
    img_height, img_width = sample.metainfo['img_shape'][:2]
    scale_y = height / max(img_height - top - bottom, 1)
    scale_x = width / max(img_width - left - right, 1)
    full = (round(maps.shape[1] * stride * scale_y), round(maps.shape[2] * stride * scale_x))
    y, x = round(top * scale_y), round(left * scale_x)
    full = (max(full[0], y + height), max(full[1], x + width))
    if full != tuple(maps.shape[1:]):
        maps = F.interpolate(maps[None], full, mode='bilinear', align_corners=False)[0]
    return maps[:, y : y + height, x : x + width]
