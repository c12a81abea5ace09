"""The GELAN backbone."""

from collections.abc import Sequence

from torch import nn

from ...registry import MODELS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG, conv, scale_channels, scale_depth
from ..layers.gelan import ADown, RepNCSPELAN4
from .staged import StagedBackbone


@MODELS.register_module()
class GELANBackbone(StagedBackbone):
    """Backbone of GELAN-C, layers 0-8 of the reference (REFERENCE_SPEC 1.3).

    Args:
        deepen_factor: Multiplies the bottlenecks of each CSP stage (1 at 1.0).
        widen_factor: Multiplies every channel count, rounded up to a multiple of 8.
        out_indices: Stages to return, out of 0 (stem, stride 2), 1 (stride 4), 2 (8), 3 (16) and 4 (32).
        frozen_stages: Stages ``0..frozen_stages`` neither learn nor update batch statistics; -1 freezes none.
        norm_eval: Keep every batch norm in evaluation mode while training.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.
        init_cfg: Config of the initialisation.

    Raises:
        ValueError: If a multiplier is not positive, or ``out_indices`` or ``frozen_stages`` name no stage.

    Shapes:
        (B, 3, H, W), RGB in [0, 1], H and W multiples of 32 -> with the default ``out_indices`` and width
        (B, 512, H/8, W/8), (B, 512, H/16, W/16), (B, 512, H/32, W/32).

    Example:
        >>> import torch
        >>> from mmyolor_mtl.models.backbones import GELANBackbone
        >>> [tuple(x.shape) for x in GELANBackbone(widen_factor=0.25)(torch.zeros(1, 3, 64, 64))]
        [(1, 128, 8, 8), (1, 128, 4, 4), (1, 128, 2, 2)]
    """

    # (output, split and stage channels) of the four RepNCSPELAN4 blocks
    STAGES = ((256, 128, 64), (512, 256, 128), (512, 512, 256), (512, 512, 256))

    def __init__(
        self,
        *,
        deepen_factor: float = 1.0,
        widen_factor: float = 1.0,
        out_indices: Sequence[int] = (2, 3, 4),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_cfg: dict = NORM_CFG,
        act_cfg: dict = ACT_CFG,
        init_cfg: dict | None = INIT_CFG,
    ) -> None:
        super().__init__(out_indices=out_indices, frozen_stages=frozen_stages, norm_eval=norm_eval, init_cfg=init_cfg)
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        num_blocks = scale_depth(1, deepen_factor)
        channels, width = (scale_channels(c, widen_factor) for c in (64, 128))
        self.out_channels = [channels]
        stages = []
        for index, sizes in enumerate(self.STAGES):
            out, split, stage = (scale_channels(c, widen_factor) for c in sizes)
            previous = self.out_channels[-1]
            down = conv(previous, width, 3, stride=2, **kwargs) if index == 0 else ADown(previous, previous, **kwargs)
            block = RepNCSPELAN4(width if index == 0 else previous, out, split, stage, num_blocks=num_blocks, **kwargs)
            stages.append(nn.Sequential(down, block))
            self.out_channels.append(out)
        self._set_stages(conv(3, channels, 3, stride=2, **kwargs), stages)
