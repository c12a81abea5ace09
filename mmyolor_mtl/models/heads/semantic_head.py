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
    """Per-pixel classes (paper section 3.1, REFERENCE_SPEC 2.3, 3.2, 6.3).

    By default one biased 1x1 convolution on the finest level, the paper's 44.5K-parameter head; with
    ``hidden_channels`` a 3x3 convolution stands before it, as in the released panoptic models. With ``num_levels`` the
    3x3 convolutions of several levels are upsampled and added, which is a multi-scale head.

    Args:
        num_classes: Number S of channels: things, stuff and the trailing classes that are never evaluated.
        in_channels: Channels of the levels, the finest first.
        stride: Stride of the finest level in px.
        hidden_channels: Channels of the 3x3 convolutions; None for the 1x1 convolution alone.
        num_levels: Levels to use, from the finest on.
        out_stride: Stride of the logits, to which they are upsampled bilinearly; the loss is computed there.
        align_corners: Upsample with corners aligned, as the released panoptic models do. It shifts the map by up to
            half a cell towards the border, so it is only for their weights.
        loss_pixel: Config of the term over single pixels: focal as the reference, or cross-entropy.
        loss_dice: Config of the dice term.
        norm_cfg: Config of the norm layers of the 3x3 convolutions.
        act_cfg: Config of their activations.
        init_cfg: Config of the initialisation.

    Raises:
        ValueError: If ``stride`` is no multiple of ``out_stride``, or there are not ``num_levels`` levels, or several
            without ``hidden_channels``.

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
        num_levels: int = 1,
        out_stride: int = 4,
        align_corners: bool = False,
        loss_pixel: dict = dict(type='mmyolor_mtl.IndexFocalLoss', loss_weight=25.0),
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
        if not 1 <= num_levels <= len(in_channels):
            raise ValueError(f'num_levels={num_levels} must lie between 1 and the {len(in_channels)} levels there are')
        if num_levels > 1 and hidden_channels is None:
            raise ValueError(f'num_levels={num_levels} needs hidden_channels, in which the levels are added')
        channels = in_channels[0] if hidden_channels is None else hidden_channels
        self.branches = nn.ModuleList(
            nn.Identity() if hidden_channels is None else conv(level, channels, 3, norm_cfg=norm_cfg, act_cfg=act_cfg)
            for level in in_channels[:num_levels]
        )
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        self.loss_pixel = MODELS.build(loss_pixel)
        self.loss_dice = MODELS.build(loss_dice)

    def forward(self, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """Logits of all classes."""
        hidden = self.branches[0](feats[0])
        for branch, feat in zip(self.branches[1:], feats[1:], strict=False):
            hidden = hidden + F.interpolate(branch(feat), hidden.shape[2:], mode='bilinear', align_corners=False)
        logits = self.classifier(hidden)
        if self.upsample > 1:
            logits = F.interpolate(
                logits, scale_factor=self.upsample, mode='bilinear', align_corners=self.align_corners
            )
        return dict(sem_logits=logits)

    def loss(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any]
    ) -> dict[str, Tensor]:
        """Both terms over the images labelled with a semantic map."""
        logits = self.forward(feats)['sem_logits']
        indices = labelled_indices(data_samples, self.task)
        if not indices:
            zero = zero_loss(logits)
            return dict(loss_sem_pixel=zero, loss_sem_dice=zero)
        target = stack_layers([data_samples[i].gt_sem_target for i in indices])
        logits = logits[indices]
        return dict(loss_sem_pixel=self.loss_pixel(logits, target), loss_sem_dice=self.loss_dice(logits, target))

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
