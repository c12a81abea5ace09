"""The auxiliary reversible branch of GYOLO: a second trunk that exists while training only."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG, check_channels, conv, scale_channels, scale_depth
from ..layers.gelan import ADown, RepNCSPELAN4


class CBLinear(nn.Module):
    """One biased 1x1 convolution, split into several maps: (B, C, H, W) -> (B, out_channels[i], H, W) each."""

    def __init__(self, in_channels: int, out_channels: Sequence[int]) -> None:
        super().__init__()
        self.out_channels = list(out_channels)
        self.conv = nn.Conv2d(in_channels, sum(out_channels), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project and split."""
        return self.conv(x).split(self.out_channels, dim=1)


def fuse_nearest(x: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Add maps of other sizes, resized to nearest cells, to ``x`` (``CBFuse``, REFERENCE_SPEC 1.1)."""
    return sum((F.interpolate(other, x.shape[2:], mode='nearest') for other in others), x)


@MODELS.register_module()
class GELANAuxiliaryBranch(BaseModule):
    """Layers 24-38 of GYOLO (REFERENCE_SPEC 1.4): starts from the picture again and takes up the backbone's levels.

    Its features carry auxiliary heads, whose gradients reach the backbone by a way that lost nothing of the picture.

    Args:
        in_channels: Channels of the backbone levels C3, C4, C5 (already widened).
        deepen_factor: Multiplies the bottlenecks of each CSP stage.
        widen_factor: Multiplies every channel count, rounded up to a multiple of 8.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.
        init_cfg: Config of the initialisation.

    Raises:
        ValueError: If a multiplier is not positive or there are not three levels.

    Shapes:
        (B, 3, H, W) and the backbone's three levels -> (B, 512, H/8, W/8), (B, 512, H/16, W/16), (B, 512, H/32, W/32).
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int] = (512, 512, 512),
        deepen_factor: float = 1.0,
        widen_factor: float = 1.0,
        norm_cfg: dict = NORM_CFG,
        act_cfg: dict = ACT_CFG,
        init_cfg: dict | None = INIT_CFG,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        check_channels('GELANAuxiliaryBranch', in_channels, 3)
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        num_blocks = scale_depth(1, deepen_factor)
        c1, c2, c3, c4 = (scale_channels(channels, widen_factor) for channels in (64, 128, 256, 512))

        def block(in_channels: int, out_channels: int, split: int, stage: int) -> RepNCSPELAN4:
            return RepNCSPELAN4(in_channels, out_channels, split, stage, num_blocks=num_blocks, **kwargs)

        self.routes = nn.ModuleList(
            CBLinear(channels, out) for channels, out in zip(in_channels, ((c3,), (c3, c4), (c3, c4, c4)), strict=True)
        )
        self.stem = nn.Sequential(
            conv(3, c1, 3, stride=2, **kwargs),
            conv(c1, c2, 3, stride=2, **kwargs),
            block(c2, c3, c2, c1),
        )
        self.downs = nn.ModuleList(ADown(channels, channels, **kwargs) for channels in (c3, c4, c4))
        self.blocks = nn.ModuleList([block(c3, c4, c3, c2), block(c4, c4, c4, c3), block(c4, c4, c4, c3)])
        self.out_channels = [c4, c4, c4]

    def forward(self, images: Tensor, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Features of the branch, level by level.

        Args:
            images: (B, 3, H, W), RGB in [0, 1].
            feats: C3, C4, C5 of the backbone.
        """
        routed = [route(feat) for route, feat in zip(self.routes, feats, strict=True)]
        x = self.stem(images)
        outputs = []
        for level, (down, block) in enumerate(zip(self.downs, self.blocks, strict=True)):
            x = block(fuse_nearest(down(x), [maps[level] for maps in routed[level:]]))
            outputs.append(x)
        return tuple(outputs)
