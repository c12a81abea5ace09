"""The GELAN path-aggregation neck."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG, check_channels, scale_channels, scale_depth
from ..layers.gelan import SPPELAN, ADown, RepNCSPELAN4
from ..layers.psa import PSA


@MODELS.register_module()
class GELANPAFPN(BaseModule):
    """SPPELAN, top-down and bottom-up paths, layers 9-21 of GELAN-C (REFERENCE_SPEC 1.3) and 10-23 of GYOLO (1.4).

    Args:
        in_channels: Channels of the backbone levels C3, C4, C5 as the backbone gives them (already widened).
        deepen_factor: Multiplies the bottlenecks of each CSP stage (1 at 1.0).
        widen_factor: Multiplies every channel count of the neck, rounded up to a multiple of 8.
        attention: Put partial self-attention on the top of the pyramid, and return that map behind the levels: GYOLO's
            caption head looks at it.
        isolate_half: Cut half of each output off from the gradient below it, as GYOLO does.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.
        init_cfg: Config of the initialisation.

    Raises:
        ValueError: If a multiplier is not positive or there are not three levels.

    Shapes:
        (B, in_channels[i], H / 2^(3+i), W / 2^(3+i)) for i = 0, 1, 2 -> (B, 256, H/8, W/8), (B, 512, H/16, W/16),
        (B, 512, H/32, W/32), and with ``attention`` once more (B, 512, H/32, W/32), the attended top.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int] = (512, 512, 512),
        deepen_factor: float = 1.0,
        widen_factor: float = 1.0,
        attention: bool = False,
        isolate_half: bool = False,
        norm_cfg: dict = NORM_CFG,
        act_cfg: dict = ACT_CFG,
        init_cfg: dict | None = INIT_CFG,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        check_channels('GELANPAFPN', in_channels, 3)
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        num_blocks = scale_depth(1, deepen_factor)
        p2, p3, p4 = (scale_channels(channels, widen_factor) for channels in (128, 256, 512))

        def block(in_channels: int, out_channels: int, stage: int, isolate: bool) -> RepNCSPELAN4:
            return RepNCSPELAN4(
                in_channels, out_channels, out_channels, stage, num_blocks=num_blocks, isolate_half=isolate, **kwargs
            )

        self.spp = SPPELAN(in_channels[2], p4, p3, **kwargs)
        self.attention = PSA(p4, **kwargs) if attention else None
        self.upsample = nn.Upsample(scale_factor=2, mode='nearest')
        self.top_down4 = block(p4 + in_channels[1], p4, p3, False)
        self.top_down3 = block(p4 + in_channels[0], p3, p2, isolate_half)
        self.down3 = ADown(p3, p3, **kwargs)
        self.bottom_up4 = block(p3 + p4, p4, p3, isolate_half)
        self.down4 = ADown(p4, p4, **kwargs)
        self.bottom_up5 = block(p4 + p4, p4, p3, isolate_half)
        self.out_channels = [p3, p4, p4, *([p4] if attention else [])]

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Fuse (C3, C4, C5) into (P3, P4, P5), or with ``attention`` (P3, P4, P5, T5)."""
        c3, c4, c5 = feats
        t5 = self.spp(c5)
        if self.attention is not None:
            t5 = self.attention(t5)
        t4 = self.top_down4(torch.cat([self.upsample(t5), c4], dim=1))
        p3 = self.top_down3(torch.cat([self.upsample(t4), c3], dim=1))
        p4 = self.bottom_up4(torch.cat([self.down3(p3), t4], dim=1))
        p5 = self.bottom_up5(torch.cat([self.down4(p4), t5], dim=1))
        return (p3, p4, p5) if self.attention is None else (p3, p4, p5, t5)
