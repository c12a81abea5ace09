"""Convolution building block shared by every network of the package."""

import math
from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.config import ConfigDict
from torch import Tensor, nn

# The reference sets these on every batch norm after construction (REFERENCE_SPEC 0.1).
NORM_CFG = dict(type='BN', momentum=0.03, eps=0.001)
ACT_CFG = dict(type='SiLU', inplace=True)
# What PyTorch gives a convolution by default; mmcv's ConvModule would overwrite it with another Kaiming variant.
INIT_CFG = dict(
    type='Kaiming', layer='Conv2d', a=math.sqrt(5), distribution='uniform', mode='fan_in', nonlinearity='leaky_relu'
)


def conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    groups: int = 1,
    norm_cfg: dict | ConfigDict = NORM_CFG,
    act_cfg: dict | ConfigDict | None = ACT_CFG,
) -> ConvModule:
    """Convolution without bias -> batch norm -> SiLU, 'same' padding (REFERENCE_SPEC 1.1, ``Conv``)."""
    return ConvModule(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        groups=groups,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg,
    )


def depthwise_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    norm_cfg: dict | ConfigDict = NORM_CFG,
    act_cfg: dict | ConfigDict | None = ACT_CFG,
) -> ConvModule:
    """:func:`conv` with as many groups as input and output channels allow (REFERENCE_SPEC 1.1, ``DWConv``)."""
    groups = math.gcd(in_channels, out_channels)
    return conv(in_channels, out_channels, kernel_size, groups=groups, norm_cfg=norm_cfg, act_cfg=act_cfg)


def scale_channels(channels: int, widen_factor: float, divisor: int = 8) -> int:
    """Channels times the width multiplier, rounded up to a multiple of ``divisor``."""
    if widen_factor <= 0:
        raise ValueError(f'widen_factor must be positive, got {widen_factor}')
    return math.ceil(channels * widen_factor / divisor - 1e-9) * divisor


def scale_depth(num_blocks: int, deepen_factor: float) -> int:
    """Number of repeated blocks times the depth multiplier, at least one."""
    if deepen_factor <= 0:
        raise ValueError(f'deepen_factor must be positive, got {deepen_factor}')
    return max(1, round(num_blocks * deepen_factor))


class ConvDown(nn.Module):
    """Halve the resolution on two paths: max-pool + 1x1, and 1x1 + strided 3x3 (REFERENCE_SPEC 1.2, ``Down``).

    Args:
        in_channels: Channels of the input.
        branch_channels: Channels of each path; the output has twice as many.

    Shapes:
        (B, in_channels, H, W) -> (B, 2 * branch_channels, H / 2, W / 2); the strided path comes first.
    """

    def __init__(self, in_channels: int, branch_channels: int, *, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.pool = nn.MaxPool2d(2, 2)
        self.pool_conv = conv(in_channels, branch_channels, 1, **kwargs)
        self.reduce = conv(in_channels, branch_channels, 1, **kwargs)
        self.down = conv(branch_channels, branch_channels, 3, stride=2, **kwargs)

    def forward(self, x: Tensor, *extra: Tensor) -> Tensor:
        """Downsample ``x``; ``extra`` maps of the new resolution are appended to the concatenation."""
        return torch.cat([self.down(self.reduce(x)), self.pool_conv(self.pool(x)), *extra], dim=1)


def check_channels(owner: str, channels: Sequence[int], expected: int) -> None:
    """Raise when a module got another number of feature levels than it needs."""
    if len(channels) != expected:
        raise ValueError(f'{owner} needs {expected} feature levels, in_channels names {len(channels)}: {channels}')
