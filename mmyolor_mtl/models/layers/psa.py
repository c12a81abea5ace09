"""Partial self-attention over the cells of a map (REFERENCE_SPEC 1.1, ``PSA`` and ``Attn``)."""

import torch
from torch import Tensor, nn

from .conv import conv, depthwise_conv

HEAD_DIMS = 64
KEY_DIMS = 32


class CellAttention(nn.Module):
    """Every cell attends to every cell; heads of 64 channels with keys of 32.

    Args:
        channels: Channels, a multiple of 64.

    Raises:
        ValueError: ``channels`` is no multiple of 64.

    Shapes:
        (B, channels, H, W) -> (B, channels, H, W)
    """

    def __init__(self, channels: int, *, norm_cfg: dict) -> None:
        super().__init__()
        if channels % HEAD_DIMS:
            raise ValueError(f'attention needs a multiple of {HEAD_DIMS} channels, got {channels}')
        self.num_heads = channels // HEAD_DIMS
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=None)
        self.qkv = conv(channels, channels + 2 * KEY_DIMS * self.num_heads, 1, **kwargs)
        self.position = depthwise_conv(channels, channels, 3, **kwargs)
        self.proj = conv(channels, channels, 1, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; a depth-wise convolution of the values tells places apart."""
        qkv = self.qkv(x).flatten(2).unflatten(1, (self.num_heads, -1))
        query, key, value = qkv.split([KEY_DIMS, KEY_DIMS, HEAD_DIMS], dim=2)
        weights = (query.transpose(2, 3) @ key * KEY_DIMS**-0.5).softmax(dim=-1)
        attended = (value @ weights.transpose(2, 3)).reshape(x.shape)
        return self.proj(attended + self.position(value.reshape(x.shape)))


class PSA(nn.Module):
    """Attention and feed-forward, both residual, on one half of the channels.

    Args:
        channels: Channels, a multiple of 128.

    Shapes:
        (B, channels, H, W) -> (B, channels, H, W)
    """

    def __init__(self, channels: int, *, norm_cfg: dict, act_cfg: dict) -> None:
        super().__init__()
        half = channels // 2
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.split = conv(channels, 2 * half, 1, **kwargs)
        self.attention = CellAttention(half, norm_cfg=norm_cfg)
        self.ffn = nn.Sequential(
            conv(half, 2 * half, 1, **kwargs), conv(2 * half, half, 1, norm_cfg=norm_cfg, act_cfg=None)
        )
        self.fuse = conv(2 * half, channels, 1, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Let the second half look around, then join."""
        kept, attending = self.split(x).chunk(2, dim=1)
        attending = attending + self.attention(attending)
        attending = attending + self.ffn(attending)
        return self.fuse(torch.cat([kept, attending], dim=1))
