"""Semantic segmentation head."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from torch import Tensor

from ...postprocess import Placement
from ...registry import MODELS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG
from .base_head import TaskHead, auxiliary_config, labelled_indices
from .branches import SemanticBranches
from .resize import label_pixels


@MODELS.register_module()
class YOLORSemanticHead(TaskHead):
    """Per-pixel classes (paper section 3.1, REFERENCE_SPEC 2.3, 3.2, 6.3).

    By default one biased 1x1 convolution on the finest level, the paper's 44.5K-parameter head; with
    ``hidden_channels`` a 3x3 convolution stands before it, as in the released panoptic models. With ``num_levels`` the
    3x3 convolutions of several levels are upsampled and added, which is a multi-scale head.

    Args:
        num_classes: Number S of channels: things, stuff and the trailing classes that are never evaluated.
        in_channels: Channels of the levels, the finest first.
        stride: Stride of the map that the classifier reads in px: 8 for the finest level, 4 for a ``branch`` on it.
        hidden_channels: Channels of the 3x3 convolutions; None for the 1x1 convolution alone.
        num_levels: Levels to use, from the finest on.
        branch: Config of a stride-4 branch of its own (keyword arguments of :class:`HighResolutionBranch`, such as
            ``dict(num_blocks=2)``), as GYOLO has.
        implicit: Put implicit knowledge on the classifier (REFERENCE_SPEC 2.7).
        auxiliary: ``in_channels`` of the auxiliary features and ``loss_weight`` (0.25 by default) of their losses, or
            None for no auxiliary branches.
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
            without ``hidden_channels``, or a ``branch`` beside ``hidden_channels``.

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
        branch: dict | None = None,
        implicit: bool = False,
        auxiliary: dict | None = None,
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
        if branch is not None and hidden_channels is not None:
            raise ValueError('a branch and hidden_channels exclude each other: the classifier reads one of them')
        kwargs = dict(
            num_classes=num_classes,
            hidden_channels=hidden_channels,
            num_levels=num_levels,
            branch=branch,
            implicit=implicit,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
        self.main = SemanticBranches(in_channels=in_channels, **kwargs)
        if branch is not None:
            self.provides = ('sem_logits', 'sem_feats')
        self.auxiliary = None
        if auxiliary is not None:
            channels, self.auxiliary_weight = auxiliary_config(auxiliary)
            self.auxiliary = SemanticBranches(in_channels=channels, **kwargs)
            self.requires = ('auxiliary',)
        self.loss_pixel = MODELS.build(loss_pixel)
        self.loss_dice = MODELS.build(loss_dice)

    def forward(self, feats: Sequence[Tensor], shared: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
        """Logits of all classes, and with a ``branch`` its upsampled map ``sem_feats`` (B, C, H/4, W/4)."""
        logits, upsampled = self._run(self.main, feats)
        return dict(sem_logits=logits) if upsampled is None else dict(sem_logits=logits, sem_feats=upsampled)

    def context(self, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """What heads of other tasks may read: ``sem_logits`` and ``sem_feats`` of a head with a ``branch``."""
        return self.forward(feats) if self.provides else {}

    def _run(self, branches: SemanticBranches, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Logits at ``out_stride``, and what the branch upsampled."""
        logits, upsampled = branches(feats)
        if self.upsample > 1:
            logits = F.interpolate(
                logits, scale_factor=self.upsample, mode='bilinear', align_corners=self.align_corners
            )
        return logits, upsampled

    def loss(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any]
    ) -> dict[str, Tensor]:
        """Both terms over the images labelled with a semantic map, with ``_aux`` those of the auxiliary branches."""
        outputs = {'': (1.0, self._run(self.main, feats)[0])}
        if self.auxiliary is not None:
            outputs['_aux'] = (self.auxiliary_weight, self._run(self.auxiliary, shared['auxiliary'])[0])
        indices = labelled_indices(data_samples, self.task)
        losses = {}
        for suffix, (weight, logits) in outputs.items():
            own = logits[indices]
            target = stack_layers([data_samples[i].gt_sem_target for i in indices], like=own)
            losses[f'loss_sem_pixel{suffix}'] = weight * self.loss_pixel(own, target)
            losses[f'loss_sem_dice{suffix}'] = weight * self.loss_dice(own, target)
        return losses

    def predict(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any], rescale: bool = True
    ) -> None:
        """Write ``pred_sem_seg``: (1, H, W) int64 class ids."""
        outputs = self.forward(feats)
        shared.update({name: outputs[name] for name in self.provides})
        for logits, sample in zip(outputs['sem_logits'].float(), data_samples, strict=True):
            placement = Placement.from_meta(sample.metainfo) if rescale else Placement.whole_input(*logits.shape[1:])
            labels = label_pixels(logits, self.out_stride if rescale else 1, placement)
            sample.pred_sem_seg = PixelData(sem_seg=labels[None])

    def switch_to_deploy(self) -> None:
        """Drop the auxiliary branches."""
        self.auxiliary = None


def stack_layers(targets: list[Tensor], like: Tensor) -> Tensor:
    """Stack index maps (L, h, w) with different numbers of layers into (B, L, h, w) int64, filling with 255.

    Without any the result is empty, of the size of the logits ``like`` (0, S, h, w).
    """
    if not targets:
        return like.new_zeros((0, 1, *like.shape[2:]), dtype=torch.long)
    layers = max(target.shape[0] for target in targets)
    padded = [F.pad(target, (0, 0, 0, 0, 0, layers - target.shape[0]), value=255) for target in targets]
    return torch.stack(padded).long()
