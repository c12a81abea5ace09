"""Anchor points and the distribution box coder of the anchor-free heads (REFERENCE_SPEC 2.1)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def anchor_points(sizes: Sequence[tuple[int, int]], strides: Sequence[int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Points of all levels, one in the middle of each cell, row-major, in level order.

    Args:
        sizes: (h, w) of each level.
        strides: Stride of each level in px.
        like: Gives dtype and device.

    Returns:
        ``(points, stride)``: (N, 2) xy px and (N, 1) px.
    """
    points, steps = [], []
    for (height, width), stride in zip(sizes, strides, strict=True):
        x = (torch.arange(width, device=like.device, dtype=torch.float32) + 0.5) * stride
        y = (torch.arange(height, device=like.device, dtype=torch.float32) + 0.5) * stride
        grid_y, grid_x = torch.meshgrid(y, x, indexing='ij')
        points.append(torch.stack([grid_x.flatten(), grid_y.flatten()], dim=1))
        steps.append(torch.full((height * width, 1), float(stride), device=like.device))
    return torch.cat(points), torch.cat(steps)


def distances_to_boxes(points: Tensor, distances: Tensor) -> Tensor:
    """Left, top, right, bottom distances (..., N, 4) around points (N, 2) -> xyxy boxes, same unit."""
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)


def boxes_to_distances(points: Tensor, boxes: Tensor, max_distance: float) -> Tensor:
    """Boxes (P, 4) xyxy -> distances (P, 4) from points (P, 2), clamped to [0, max_distance]."""
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], dim=-1).clamp(0, max_distance)
