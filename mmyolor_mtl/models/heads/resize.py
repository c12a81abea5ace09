"""Semantic labels of the original picture from logits over the network's letterboxed input."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmyolor_mtl.postprocess import Placement, semantic_labels
from mmyolor_mtl.postprocess.semantic import resized_window

_VALUES_AT_ONCE = 2**26  # of enlarged logits on a GPU: 256 MiB


def label_pixels(logits: Tensor, stride: int, placement: Placement) -> Tensor:
    """As :func:`~mmyolor_mtl.postprocess.semantic_labels`, where the logits are: (S, h, w) -> (H, W) int64.

    OpenCV works class by class in the processor's caches: 37 ms for 173 classes of a 640 px picture on two cores, where
    PyTorch takes 170 to 280. A GPU does all classes of a band of rows at once, and the logits stay there.
    """
    if not logits.is_cuda:
        return torch.from_numpy(semantic_labels(logits.detach().float().numpy(), stride, placement).astype('int64'))
    return label_bands(logits, stride, placement)


def label_bands(logits: Tensor, stride: int, placement: Placement) -> Tensor:
    """The same band by band with PyTorch, on any device."""
    (full_height, full_width), (top, left) = resized_window(tuple(logits.shape[1:]), stride, placement)
    height, width = placement.image
    rows = _places(top, height, full_height, logits.device)
    columns = _places(left, width, full_width, logits.device)
    step = max(1, _VALUES_AT_ONCE // (len(logits) * width))
    bands = []
    for band in rows.split(step):
        grid = torch.stack(torch.meshgrid(columns, band, indexing='xy'), dim=-1)[None]
        enlarged = F.grid_sample(logits[None].float(), grid, padding_mode='border', align_corners=False)
        bands.append(enlarged[0].argmax(dim=0))
    return torch.cat(bands)


def _places(first: int, number: int, full: int, device: torch.device) -> Tensor:
    """Where pixels from ``first`` on lie in a map of ``full`` pixels, whose borders are -1 and 1."""
    return (torch.arange(first, first + number, device=device, dtype=torch.float32) + 0.5) * (2 / full) - 1
