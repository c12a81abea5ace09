"""The ELAN backbone of YOLOv7-AF."""

from collections.abc import Sequence

from torch import nn

from ...registry import MODELS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG, ConvDown, conv, scale_channels, scale_depth
from ..layers.elan import ELANBlock
from .staged import StagedBackbone


@MODELS.register_module()
class ELANBackbone(StagedBackbone):
    """ELAN backbone of YOLOv7-AF, layers 0-50 of the reference (paper section 3.1, REFERENCE_SPEC 1.2).

    Args:
        deepen_factor: Multiplies the length of each ELAN chain (2 pairs of 3x3 convolutions at 1.0).
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
        (B, 512, H/8, W/8), (B, 1024, H/16, W/16), (B, 1024, H/32, W/32).

    Example:
        >>> import torch
        >>> from mmyolor_mtl.models.backbones import ELANBackbone
        >>> [tuple(x.shape) for x in ELANBackbone(widen_factor=0.25)(torch.zeros(1, 3, 64, 64))]
        [(1, 128, 8, 8), (1, 256, 4, 4), (1, 256, 2, 2)]
    """

    # (channels of the 1x1 and 3x3 convolutions, channels of the output) of the four ELAN stages
    STAGES = ((64, 256), (128, 512), (256, 1024), (256, 1024))

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
        width = [scale_channels(channels, widen_factor) for channels in (32, 64, 128)]
        stem = nn.Sequential(
            conv(3, width[0], 3, **kwargs),
            conv(width[0], width[1], 3, stride=2, **kwargs),
            conv(width[1], width[1], 3, **kwargs),
        )
        self.out_channels = [width[1]]
        stages = []
        for index, (mid, out) in enumerate(self.STAGES, start=1):
            previous = self.out_channels[-1]
            mid, out = scale_channels(mid, widen_factor), scale_channels(out, widen_factor)
            if index == 1:
                down, channels = conv(previous, width[2], 3, stride=2, **kwargs), width[2]
            else:
                down, channels = ConvDown(previous, previous // 2, **kwargs), previous // 2 * 2
            groups = scale_depth(2, deepen_factor)
            block = ELANBlock(channels, mid, mid, out, num_groups=groups, collect_every=2, **kwargs)
            stages.append(nn.Sequential(down, block))
            self.out_channels.append(out)
        self._set_stages(stem, stages)
