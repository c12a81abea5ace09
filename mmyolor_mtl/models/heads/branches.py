"""Prediction branches: the convolutions behind the trunk that the heads are made of, in their flavours."""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.conv import conv, depthwise_conv
from ..layers.gelan import HighResolutionBranch
from ..layers.implicit import ImplicitA, ImplicitM


class PredictionBranch(nn.Sequential):
    """Two convolutions and a biased 1x1 (REFERENCE_SPEC 2.1, 2.7).

    Args:
        in_channels: Channels of the feature map.
        mid_channels: Channels between the convolutions.
        out_channels: Channels of the prediction.
        groups: Groups of the second convolution and of the 1x1; 4 gives each side of a box its own channels.
        light: Each of the two is a depth-wise 3x3 and a 1x1 instead of a 3x3.
        implicit: Implicit knowledge shifts the input and scales the output.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.

    Shapes:
        (B, in_channels, H, W) -> (B, out_channels, H, W)
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        *,
        groups: int = 1,
        light: bool = False,
        implicit: bool = False,
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        if light:
            layers: list[nn.Module] = [
                depthwise_conv(in_channels, in_channels, 3, **kwargs),
                conv(in_channels, mid_channels, 1, **kwargs),
                depthwise_conv(mid_channels, mid_channels, 3, **kwargs),
                conv(mid_channels, mid_channels, 1, **kwargs),
            ]
        else:
            layers = [
                conv(in_channels, mid_channels, 3, **kwargs),
                conv(mid_channels, mid_channels, 3, groups=groups, **kwargs),
            ]
        layers.append(nn.Conv2d(mid_channels, out_channels, 1, groups=groups))
        if implicit:
            layers = [ImplicitA(in_channels), *layers, ImplicitM(out_channels)]
        super().__init__(*layers)

    @property
    def predictor(self) -> nn.Conv2d:
        """The biased 1x1 convolution."""
        return self[-2] if isinstance(self[-1], ImplicitM) else self[-1]

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold the implicit scale into the 1x1; the shift stays, as a zero-padded 3x3 cannot take it in exactly."""
        if isinstance(self[-1], ImplicitM):
            scale = self[-1].implicit.flatten()
            self.predictor.weight *= scale[:, None, None, None]
            self.predictor.bias *= scale
            del self[-1]


def flatten_levels(branches: Sequence[nn.Module], feats: Sequence[Tensor]) -> Tensor:
    """Run a branch on each level and join the cells: (B, N, C), level by level and row-major.

    Features may have more levels than there are branches; the last ones are left aside.
    """
    maps = [branch(feat).flatten(2) for branch, feat in zip(branches, feats[: len(branches)], strict=True)]
    return torch.cat(maps, dim=2).transpose(1, 2)


class DistributionProjection(nn.Module):
    """Expectation of a softmax over the bins 0..reg_max-1; the bins are frozen parameters as in the reference."""

    def __init__(self, reg_max: int) -> None:
        super().__init__()
        self.bins = nn.Parameter(torch.arange(reg_max, dtype=torch.float32), requires_grad=False)

    def forward(self, dists: Tensor) -> Tensor:
        """(..., 4 * reg_max) side-major logits -> (..., 4) distances in cells."""
        # Not a matrix product: autocast would make it one in half precision, which moves boxes by a pixel or two.
        return (dists.unflatten(-1, (4, -1)).float().softmax(dim=-1) * self.bins).sum(dim=-1)


class DetectionBranches(nn.Module):
    """Box and class branches of all levels, and what decodes the boxes.

    Args:
        num_classes: Number of thing classes.
        in_channels: Channels of the levels.
        strides: Strides of the levels in px.
        reg_max: Bins of a side.
        box_groups: 1, or 4 for a box branch that is grouped by side.
        light_cls: Depth-wise class branches.
        implicit: Implicit knowledge on all branches.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.

    Shapes:
        feats[i] (B, in_channels[i], H_i, W_i) -> class logits (B, N, num_classes), distributions (B, N, 4 * reg_max)
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: Sequence[int],
        strides: Sequence[int],
        reg_max: int,
        box_groups: int,
        light_cls: bool,
        implicit: bool,
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.strides = tuple(strides)
        kwargs = dict(implicit=implicit, norm_cfg=norm_cfg, act_cfg=act_cfg)
        box_channels = math.ceil(max(in_channels[0] // 4, 4 * reg_max, 16) / box_groups) * box_groups
        cls_channels = max(in_channels[0], min(2 * num_classes, 128))
        self.box_branches = nn.ModuleList(
            PredictionBranch(channels, box_channels, 4 * reg_max, groups=box_groups, **kwargs)
            for channels in in_channels
        )
        self.cls_branches = nn.ModuleList(
            PredictionBranch(channels, cls_channels, num_classes, light=light_cls, **kwargs) for channels in in_channels
        )
        self.projection = DistributionProjection(reg_max)

    def init_biases(self) -> None:
        """Biases of REFERENCE_SPEC 2.1: a box of one cell to each side, 5 objects in an image of 640 px."""
        for box, cls, stride in zip(self.box_branches, self.cls_branches, self.strides, strict=True):
            nn.init.constant_(box.predictor.bias, 1.0)
            nn.init.constant_(cls.predictor.bias, math.log(5 / self.num_classes / (640 / stride) ** 2))

    def class_logits(self, feats: Sequence[Tensor]) -> Tensor:
        """(B, N, num_classes)."""
        return flatten_levels(self.cls_branches, feats)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Class logits and box distributions of all anchors."""
        return self.class_logits(feats), flatten_levels(self.box_branches, feats)

    def twin(self) -> 'DetectionBranches':
        """A copy with the same values that learns on its own."""
        return copy.deepcopy(self)


class MaskBranches(nn.Module):
    """Coefficient branches of all levels and the prototypes.

    Args:
        in_channels: Channels of the levels.
        num_prototypes: Number M of prototypes.
        proto_channels: Channels of the prototype net, or of the stride-4 branch.
        branch: Config of a :class:`HighResolutionBranch`, behind which the prototypes are one 1x1 convolution; None
            for a prototype net on the first level.
        implicit: Implicit knowledge on the coefficient branches.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.

    Shapes:
        feats[i] (B, in_channels[i], H_i, W_i) -> (B, N, M) coefficients, (B, M, 2 * H_0, 2 * W_0) prototypes
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        num_prototypes: int,
        proto_channels: int,
        branch: dict | None,
        implicit: bool,
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        coef_channels = max(in_channels[0] // 4, num_prototypes)
        self.coef_branches = nn.ModuleList(
            PredictionBranch(channels, coef_channels, num_prototypes, implicit=implicit, **kwargs)
            for channels in in_channels
        )
        self.branch = None
        if branch is not None:
            self.branch = HighResolutionBranch(in_channels[0], proto_channels, **branch, **kwargs)
            self.proto: nn.Module = conv(proto_channels, num_prototypes, 1, **kwargs)
        else:
            self.proto = nn.Sequential(
                conv(in_channels[0], proto_channels, 3, **kwargs),
                nn.Upsample(scale_factor=2, mode='nearest'),
                conv(proto_channels, proto_channels, 3, **kwargs),
                conv(proto_channels, num_prototypes, 1, **kwargs),
            )

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Coefficients of all anchors, and prototypes behind batch norm and SiLU."""
        source = feats[0] if self.branch is None else self.branch(feats[0])[1]
        return flatten_levels(self.coef_branches, feats), self.proto(source)


class SemanticBranches(nn.Module):
    """Logits of the semantic classes (REFERENCE_SPEC 2.3).

    Args:
        num_classes: Channels S of the logits.
        in_channels: Channels of the levels, the finest first.
        hidden_channels: Channels of a 3x3 convolution on each used level; None for none.
        num_levels: Levels to use, from the finest on; the convolutions of the others are upsampled and added.
        branch: Config of a :class:`HighResolutionBranch` on the finest level, whose map the classifier reads.
        implicit: Implicit knowledge shifts the input of the classifier and scales its output.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.

    Shapes:
        feats[i] (B, in_channels[i], H_i, W_i) -> logits (B, S, H_0, W_0), or with ``branch`` (B, S, 2 * H_0, 2 * W_0),
        and the branch's upsampled map, None without ``branch``
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: Sequence[int],
        hidden_channels: int | None,
        num_levels: int,
        branch: dict | None,
        implicit: bool,
        norm_cfg: dict,
        act_cfg: dict,
    ) -> None:
        super().__init__()
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        channels = in_channels[0] if hidden_channels is None else hidden_channels
        self.branch = None
        if branch is not None:
            channels = branch.get('out_channels', 256)
            self.branch = HighResolutionBranch(in_channels[0], **branch, **kwargs)
        self.branches = nn.ModuleList(
            nn.Identity() if hidden_channels is None else conv(level, channels, 3, **kwargs)
            for level in in_channels[:num_levels]
        )
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        self.shift = ImplicitA(channels) if implicit else None
        self.scale = ImplicitM(num_classes) if implicit else None

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
        """Logits at the resolution of the finest map."""
        if self.branch is not None:
            upsampled, hidden = self.branch(feats[0])
            return self._classify(hidden), upsampled
        hidden = self.branches[0](feats[0])
        for branch, feat in zip(self.branches[1:], feats[1:], strict=False):
            hidden = hidden + F.interpolate(branch(feat), hidden.shape[2:], mode='bilinear', align_corners=False)
        return self._classify(hidden), None

    def _classify(self, hidden: Tensor) -> Tensor:
        if self.shift is None or self.scale is None:
            return self.classifier(hidden)
        return self.scale(self.classifier(self.shift(hidden)))

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold implicit knowledge into the classifier, which a 1x1 convolution takes in exactly."""
        if self.shift is None or self.scale is None:
            return
        weight, scale = self.classifier.weight, self.scale.implicit.flatten()
        self.classifier.bias += weight[:, :, 0, 0] @ self.shift.implicit.flatten()
        self.classifier.bias *= scale
        weight *= scale[:, None, None, None]
        self.shift = self.scale = None
