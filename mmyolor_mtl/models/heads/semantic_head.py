"""Semantic segmentation head."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG, conv
from .base_head import TaskHead, labelled_indices, zero_loss
from .resize import resize_to_image


@MODELS.register_module()
class YOLORSemanticHead(TaskHead):
    """Per-pixel classes from one level (paper section 3.1, REFERENCE_SPEC 2.3, 3.2, 6.3).

    By default one biased 1x1 convolution, the paper's 44.5K-parameter head; with ``hidden_channels`` a 3x3 convolution
    stands before it, as in the released panoptic models.

    Args:
        num_classes: Number S of channels: things, stuff and the trailing classes that are never evaluated.
        in_channels: Channels of the levels; the finest is used.
        stride: Stride of that level in px.
        hidden_channels: Channels of the 3x3 convolution; None for the 1x1 convolution alone.
        out_stride: Stride of the logits, to which they are upsampled bilinearly; the loss is computed there.
        align_corners: Upsample with corners aligned, as the released panoptic models do. It shifts the map by up to
            half a cell towards the border, so it is only for their weights.
        loss_focal: Config of the focal term.
        loss_dice: Config of the dice term.
        norm_cfg: Config of the norm layer of the 3x3 convolution.
        act_cfg: Config of its activation.
        init_cfg: Config of the initialisation.

    Raises:
        ValueError: If ``stride`` is no multiple of ``out_stride``.

    Shapes:
        feats[0] (B, in_channels[0], H/8, W/8) -> ``sem_logits`` (B, S, H/4, W/4)
    """

    task = 'sem'

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: Sequence[int] = (256, 512, 1024),
        stride: int = 8,
        hidden_channels: int | None = None,
        out_stride: int = 4,
        align_corners: bool = False,
        loss_focal: dict = dict(type='mmyolor_mtl.IndexFocalLoss', loss_weight=25.0),
        loss_dice: dict = dict(type='mmyolor_mtl.IndexDiceLoss', loss_weight=1.25),
        norm_cfg: dict = NORM_CFG,
        act_cfg: dict = ACT_CFG,
        init_cfg: dict | None = INIT_CFG,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if stride % out_stride:
            raise ValueError(f'stride {stride} must be a multiple of out_stride {out_stride}')
        self.num_classes = num_classes
        self.out_stride = out_stride
        self.align_corners = align_corners
        self.upsample = stride // out_stride
        self.hidden: nn.Module = nn.Identity()
        channels = in_channels[0]
        if hidden_channels is not None:
            self.hidden = conv(channels, hidden_channels, 3, norm_cfg=norm_cfg, act_cfg=act_cfg)
            channels = hidden_channels
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        self.loss_focal = MODELS.build(loss_focal)
        self.loss_dice = MODELS.build(loss_dice)

    def forward(self, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits of all classes."""
        logits = self.classifier(self.hidden(feats[0]))
        if self.upsample > 1:
            logits = F.interpolate(
                logits, scale_factor=self.upsample, mode='bilinear', align_corners=self.align_corners
            )
        return dict(sem_logits=logits)

    def loss(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any]
    ) -> dict[str, Tensor]:
        """Focal and dice over the images labelled with a semantic map."""
        logits = self.forward(feats)['sem_logits']
        indices = labelled_indices(data_samples, self.task)
        if not indices:
            zero = zero_loss(logits)
            return dict(loss_sem_focal=zero, loss_sem_dice=zero)
        target = stack_layers([data_samples[i].gt_sem_target for i in indices])
        logits = logits[indices]
        return dict(loss_sem_focal=self.loss_focal(logits, target), loss_sem_dice=self.loss_dice(logits, target))

    def predict(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any], rescale: bool = True
    ) -> None:
        """Write ``pred_sem_seg``: (1, H, W) int64 class ids."""
        for logits, sample in zip(self.forward(feats)['sem_logits'].float(), data_samples, strict=True):
            if rescale:
                logits = resize_to_image(logits, sample, self.out_stride)
            sample.pred_sem_seg = PixelData(sem_seg=logits.argmax(dim=0, keepdim=True))


def stack_layers(targets: list[Tensor]) -> Tensor:
    """Stack index maps (L, h, w) with different numbers of layers into (B, L, h, w) int64, filling with 255."""
    layers = max(target.shape[0] for target in targets)
    padded = [F.pad(target, (0, 0, 0, 0, 0, layers - target.shape[0]), value=255) for target in targets]
    return torch.stack(padded).long()
