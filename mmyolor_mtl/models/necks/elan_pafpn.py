"""The ELAN path-aggregation neck of YOLOv7-AF."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG, ConvDown, check_channels, conv, scale_channels, scale_depth
from ..layers.elan import SPPCSPC, ELANBlock


@MODELS.register_module()
class ELANPAFPN(BaseModule):
    """SPPCSPC, top-down and bottom-up paths and output convolutions, layers 51-104 (REFERENCE_SPEC 1.2).

    Args:
        in_channels: Channels of the backbone levels C3, C4, C5 as the backbone gives them (already widened).
        out_channels: Channels of the outputs O3, O4, O5 at ``widen_factor`` 1.0.
        deepen_factor: Multiplies the length of each ELAN chain (4 convolutions at 1.0).
        widen_factor: Multiplies every channel count of the neck, rounded up to a multiple of 8.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.
        init_cfg: Config of the initialisation.

    Raises:
        ValueError: If a multiplier is not positive or there are not three levels.

    Shapes:
        (B, in_channels[i], H / 2^(3+i), W / 2^(3+i)) for i = 0, 1, 2 -> (B, out_channels[i], same size).
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int] = (512, 1024, 1024),
        out_channels: Sequence[int] = (256, 512, 1024),
        deepen_factor: float = 1.0,
        widen_factor: float = 1.0,
        norm_cfg: dict = NORM_CFG,
        act_cfg: dict = ACT_CFG,
        init_cfg: dict | None = INIT_CFG,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        check_channels('ELANPAFPN', in_channels, 3)
        check_channels('ELANPAFPN (out_channels)', out_channels, 3)
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        n3, n4, n5 = (scale_channels(channels, widen_factor) for channels in (128, 256, 512))
        groups = scale_depth(4, deepen_factor)

        def block(in_channels: int, out_channels: int) -> ELANBlock:
            half = out_channels // 2
            return ELANBlock(
                in_channels, out_channels, half, out_channels, num_groups=groups, collect_every=1, **kwargs
            )

        self.spp = SPPCSPC(in_channels[2], n5, **kwargs)
        self.upsample = nn.Upsample(scale_factor=2, mode='nearest')
        self.reduce5 = conv(n5, n4, 1, **kwargs)
        self.lateral4 = conv(in_channels[1], n4, 1, **kwargs)
        self.top_down4 = block(2 * n4, n4)
        self.reduce4 = conv(n4, n3, 1, **kwargs)
        self.lateral3 = conv(in_channels[0], n3, 1, **kwargs)
        self.top_down3 = block(2 * n3, n3)
        self.down3 = ConvDown(n3, n3, **kwargs)
        self.bottom_up4 = block(2 * n3 + n4, n4)
        self.down4 = ConvDown(n4, n4, **kwargs)
        self.bottom_up5 = block(2 * n4 + n5, n5)
        self.out_channels = [scale_channels(channels, widen_factor) for channels in out_channels]
        self.out_convs = nn.ModuleList(
            conv(channels, out, 3, **kwargs) for channels, out in zip((n3, n4, n5), self.out_channels, strict=True)
        )

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Fuse (C3, C4, C5) into (O3, O4, O5)."""
        c3, c4, c5 = feats
        p5 = self.spp(c5)
        p4 = self.top_down4(torch.cat([self.lateral4(c4), self.upsample(self.reduce5(p5))], dim=1))
        n3 = self.top_down3(torch.cat([self.lateral3(c3), self.upsample(self.reduce4(p4))], dim=1))
        n4 = self.bottom_up4(self.down3(n3, p4))
        n5 = self.bottom_up5(self.down4(n4, p5))
        return tuple(out(n) for out, n in zip(self.out_convs, (n3, n4, n5), strict=True))
