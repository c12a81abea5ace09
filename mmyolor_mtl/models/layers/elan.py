"""ELAN and SPPCSPC blocks of YOLOv7-AF (REFERENCE_SPEC 1.1 and 1.2)."""

import torch
from torch import Tensor, nn

from .conv import conv


class ELANBlock(nn.Module):
    """Efficient layer aggregation: two 1x1 paths, one of which runs through a chain of 3x3 convolutions.

    Every ``collect_every``-th output of the chain joins the concatenation, the most recent first, then the two 1x1
    paths. The backbone collects every second of four convolutions, the neck every one.

    Args:
        in_channels: Channels of the input.
        mid_channels: Channels of the two 1x1 paths.
        chain_channels: Channels of the 3x3 convolutions.
        out_channels: Channels of the output.
        num_groups: Number of collected outputs of the chain.
        collect_every: Convolutions between two collected outputs.

    Shapes:
        (B, in_channels, H, W) -> (B, out_channels, H, W)
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        chain_channels: int,
        out_channels: int,
        *,
        num_groups: int,
        collect_every: int,
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.shortcut = conv(in_channels, mid_channels, 1, **kwargs)
        self.entry = conv(in_channels, mid_channels, 1, **kwargs)
        self.chain = nn.ModuleList()
        channels = mid_channels
        for _ in range(num_groups):
            group = nn.Sequential()
            for _ in range(collect_every):
                group.append(conv(channels, chain_channels, 3, **kwargs))
                channels = chain_channels
            self.chain.append(group)
        self.fuse = conv(2 * mid_channels + num_groups * chain_channels, out_channels, 1, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Aggregate the collected features of the chain."""
        features = [self.shortcut(x), self.entry(x)]
        for group in self.chain:
            features.append(group(features[-1]))
        return self.fuse(torch.cat(features[::-1], dim=1))


class SPPCSPC(nn.Module):
    """Spatial pyramid pooling with a cross-stage path (REFERENCE_SPEC 1.1, ``SPPCSPC``).

    Shapes:
        (B, in_channels, H, W) -> (B, out_channels, H, W)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_sizes: tuple[int, ...] = (5, 9, 13),
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.pre = nn.Sequential(
            conv(in_channels, out_channels, 1, **kwargs),
            conv(out_channels, out_channels, 3, **kwargs),
            conv(out_channels, out_channels, 1, **kwargs),
        )
        self.pools = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in kernel_sizes)
        self.post = nn.Sequential(
            conv((1 + len(kernel_sizes)) * out_channels, out_channels, 1, **kwargs),
            conv(out_channels, out_channels, 3, **kwargs),
        )
        self.shortcut = conv(in_channels, out_channels, 1, **kwargs)
        self.fuse = conv(2 * out_channels, out_channels, 1, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Pool at several scales beside an unpooled path."""
        deep = self.pre(x)
        deep = self.post(torch.cat([deep, *(pool(deep) for pool in self.pools)], dim=1))
        return self.fuse(torch.cat([deep, self.shortcut(x)], dim=1))
