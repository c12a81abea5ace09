"""Blocks of GELAN (REFERENCE_SPEC 1.1 and 1.3), under the names the field gives them."""

import torch
import torch.nn.functional as F
from mmcv.cnn import build_activation_layer, fuse_conv_bn
from torch import Tensor, nn

from .conv import conv, depthwise_conv


class RepConvN(nn.Module):
    """A 3x3 and a 1x1 convolution side by side, each with its batch norm, summed before the activation.

    There is no identity branch. :meth:`switch_to_deploy` makes one 3x3 convolution of both.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.

    Shapes:
        (B, in_channels, H, W) -> (B, out_channels, H, W)
    """

    def __init__(self, in_channels: int, out_channels: int, *, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.conv3 = conv(in_channels, out_channels, 3, norm_cfg=norm_cfg, act_cfg=None)
        self.conv1: nn.Module | None = conv(in_channels, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None)
        self.act = build_activation_layer(act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """Sum the branches and activate."""
        y = self.conv3(x)
        return self.act(y if self.conv1 is None else y + self.conv1(x))

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold both norms and add the 1x1 kernel to the centre of the 3x3 (REFERENCE_SPEC 7.4)."""
        if self.conv1 is None:
            return
        fused, pointwise = fuse_conv_bn(self.conv3).conv, fuse_conv_bn(self.conv1).conv
        fused.weight += F.pad(pointwise.weight, (1, 1, 1, 1))
        fused.bias += pointwise.bias
        self.conv1 = None


class RepNBottleneck(nn.Module):
    """``x + Conv3x3(RepConvN(x))``: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, *, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        self.rep = RepConvN(channels, channels, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.conv = conv(channels, channels, 3, norm_cfg=norm_cfg, act_cfg=act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """Residual block."""
        return x + self.conv(self.rep(x))


class RepNCSP(nn.Module):
    """Cross-stage partial block: one of two 1x1 paths of half the output's width runs through bottlenecks.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        num_blocks: Bottlenecks.

    Shapes:
        (B, in_channels, H, W) -> (B, out_channels, H, W)
    """

    def __init__(self, in_channels: int, out_channels: int, *, num_blocks: int, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        half = out_channels // 2
        self.entry = conv(in_channels, half, 1, **kwargs)
        self.shortcut = conv(in_channels, half, 1, **kwargs)
        self.blocks = nn.Sequential(*(RepNBottleneck(half, **kwargs) for _ in range(num_blocks)))
        self.fuse = conv(2 * half, out_channels, 1, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Join the deep path and the shortcut."""
        return self.fuse(torch.cat([self.blocks(self.entry(x)), self.shortcut(x)], dim=1))


class RepNCSPELAN4(nn.Module):
    """Generalised ELAN: a 1x1 convolution split in halves, two chained CSP stages, all four joined by a 1x1.

    With ``isolate_half`` one half of the output channels comes from a convolution whose input is cut off from the
    gradient (``RepNCSPELAN4B``, REFERENCE_SPEC 1.1): what a task does to that half does not reach the trunk below.
    The number of parameters is the same.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        split_channels: Channels of the first 1x1 convolution, both halves together (c3).
        stage_channels: Channels of the CSP stages (c4).
        num_blocks: Bottlenecks of a stage.
        isolate_half: Cut the gradient of half of the output.

    Shapes:
        (B, in_channels, H, W) -> (B, out_channels, H, W)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        split_channels: int,
        stage_channels: int,
        *,
        num_blocks: int = 1,
        isolate_half: bool = False,
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)

        def stage(channels: int) -> nn.Sequential:
            return nn.Sequential(
                RepNCSP(channels, stage_channels, num_blocks=num_blocks, **kwargs),
                conv(stage_channels, stage_channels, 3, **kwargs),
            )

        self.split = conv(in_channels, split_channels, 1, **kwargs)
        self.stages = nn.ModuleList([stage(split_channels // 2), stage(stage_channels)])
        joined = split_channels + 2 * stage_channels
        self.fuse = conv(joined, out_channels // 2 if isolate_half else out_channels, 1, **kwargs)
        self.isolated = conv(joined, out_channels // 2, 1, **kwargs) if isolate_half else None

    def forward(self, x: Tensor) -> Tensor:
        """Aggregate the halves and the outputs of both stages."""
        features = list(self.split(x).chunk(2, dim=1))
        for stage in self.stages:
            features.append(stage(features[-1]))
        joined = torch.cat(features, dim=1)
        if self.isolated is None:
            return self.fuse(joined)
        return torch.cat([self.fuse(joined), self.isolated(joined.detach())], dim=1)


class ADown(nn.Module):
    """Halve the resolution of a slightly blurred map: a strided 3x3 on one half, max-pool and 1x1 on the other.

    Args:
        in_channels: Channels of the input, even.
        out_channels: Channels of the output, even.

    Shapes:
        (B, in_channels, H, W) -> (B, out_channels, H / 2, W / 2)
    """

    def __init__(self, in_channels: int, out_channels: int, *, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.down = conv(in_channels // 2, out_channels // 2, 3, stride=2, **kwargs)
        self.pool_conv = conv(in_channels // 2, out_channels // 2, 1, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Blur, split, downsample both halves."""
        first, second = F.avg_pool2d(x, 2, stride=1).chunk(2, dim=1)
        return torch.cat([self.down(first), self.pool_conv(F.max_pool2d(second, 3, stride=2, padding=1))], dim=1)


class SPPELAN(nn.Module):
    """Spatial pyramid pooling by three successive 5x5 max-pools.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        mid_channels: Channels of each pooled map.

    Shapes:
        (B, in_channels, H, W) -> (B, out_channels, H, W)
    """

    def __init__(
        self, in_channels: int, out_channels: int, mid_channels: int, *, norm_cfg: dict, act_cfg: dict
    ) -> None:
        super().__init__()
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.entry = conv(in_channels, mid_channels, 1, **kwargs)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.fuse = conv(4 * mid_channels, out_channels, 1, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Join the map and its three poolings."""
        features = [self.entry(x)]
        for _ in range(3):
            features.append(self.pool(features[-1]))
        return self.fuse(torch.cat(features, dim=1))


class HighResolutionBranch(nn.Module):
    """Branch of GYOLO that leads a stride-8 map to stride 4 for one task (REFERENCE_SPEC 1.4, layers 39-54).

    A :class:`RepNCSPELAN4`, nearest upsampling, a depth-wise 3x3 and a 1x1 convolution.

    Args:
        in_channels: Channels of the stride-8 map.
        out_channels: Channels of the stride-4 map.
        split_channels: See :class:`RepNCSPELAN4`.
        stage_channels: See :class:`RepNCSPELAN4`.
        num_blocks: Bottlenecks of a stage.

    Shapes:
        (B, in_channels, H, W) -> (B, in_channels, 2H, 2W), the upsampled map, and (B, out_channels, 2H, 2W).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        split_channels: int = 256,
        stage_channels: int = 128,
        *,
        num_blocks: int = 2,
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.block = RepNCSPELAN4(
            in_channels, in_channels, split_channels, stage_channels, num_blocks=num_blocks, **kwargs
        )
        self.upsample = nn.Upsample(scale_factor=2, mode='nearest')
        self.depthwise = depthwise_conv(in_channels, out_channels, 3, **kwargs)
        self.pointwise = conv(out_channels, out_channels, 1, **kwargs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the upsampled map and the one made of it."""
        upsampled = self.upsample(self.block(x))
        return upsampled, self.pointwise(self.depthwise(upsampled))
