"""Instance masks as linear combinations of prototypes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG
from ..losses.mask import inside_boxes
from ..task_modules import Assignment
from .base_head import TaskHead, auxiliary_config, labelled_indices, zero_loss
from .branches import MaskBranches
from .resize import resize_to_image

MASKS_AT_ONCE = 32


@MODELS.register_module()
class YOLORMaskHead(TaskHead):
    """Mask coefficients a anchor and prototypes an image (paper section 3.1, REFERENCE_SPEC 2.2, 3.2, 6.2).

    Args:
        in_channels: Channels of the levels; the first feeds the prototypes.
        num_prototypes: Number M of prototypes.
        proto_channels: Hidden channels of the prototypes.
        mask_stride: Stride of the prototypes in px: half the stride of the first level.
        branch: Config of a stride-4 branch of its own for the prototypes (keyword arguments of
            :class:`HighResolutionBranch` without channels, such as ``dict(num_blocks=2)``), as GYOLO has; None for a
            prototype net on the first level.
        implicit: Put implicit knowledge on the coefficient branches (REFERENCE_SPEC 2.7).
        auxiliary: ``in_channels`` of the auxiliary features and ``loss_weight`` (0.25 by default) of their loss, or
            None for no auxiliary branches.
        loss_mask: Config of the loss.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.
        init_cfg: Config of the initialisation.

    Shapes:
        feats[i] (B, in_channels[i], H_i, W_i) -> ``mask_coefs`` (B, N, M) without activation and ``mask_protos``
        (B, M, H/4, W/4) behind batch norm and SiLU.
    """

    task = 'ins'
    requires: tuple[str, ...] = ('assignment', 'detections', 'det_indices')

    def __init__(
        self,
        *,
        in_channels: Sequence[int] = (256, 512, 1024),
        num_prototypes: int = 32,
        proto_channels: int = 256,
        mask_stride: int = 4,
        branch: dict | None = None,
        implicit: bool = False,
        auxiliary: dict | None = None,
        loss_mask: dict = dict(type='mmyolor_mtl.PrototypeMaskLoss', loss_weight=2.5),
        norm_cfg: dict = NORM_CFG,
        act_cfg: dict = ACT_CFG,
        init_cfg: dict | None = INIT_CFG,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.mask_stride = mask_stride
        self.loss_mask = MODELS.build(loss_mask)
        kwargs = dict(
            num_prototypes=num_prototypes,
            proto_channels=proto_channels,
            branch=branch,
            implicit=implicit,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
        self.main = MaskBranches(in_channels=in_channels, **kwargs)
        self.auxiliary = None
        if auxiliary is not None:
            channels, self.auxiliary_weight = auxiliary_config(auxiliary)
            self.auxiliary = MaskBranches(in_channels=channels, **kwargs)
            self.requires += ('auxiliary',)

    def forward(self, feats: Sequence[Tensor], shared: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
        """Coefficients of all anchors and prototypes."""
        coefs, protos = self.main(feats)
        return dict(mask_coefs=coefs, mask_protos=protos)

    def loss(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any]
    ) -> dict[str, Tensor]:
        """Mask loss of the positive anchors of the images labelled with masks (they carry boxes too)."""
        outputs = {'loss_ins_mask': (1.0, self.main(feats))}
        if self.auxiliary is not None:
            outputs['loss_ins_mask_aux'] = (self.auxiliary_weight, self.auxiliary(shared['auxiliary']))
        rows = {image: row for row, image in enumerate(shared['det_indices'])}
        indices = [i for i in labelled_indices(data_samples, self.task) if i in rows]
        positives = self._positives(shared['assignment'], [rows[i] for i in indices])
        if positives is None:
            return {name: zero_loss(*tensors) for name, (_, tensors) in outputs.items()}
        anchors, valid, boxes, gt_index = positives
        masks = nn.utils.rnn.pad_sequence([data_samples[i].gt_mask_targets for i in indices], batch_first=True)
        losses = {}
        for name, (weight, (coefs, protos)) in outputs.items():
            _check_size(masks, protos)
            coefs = coefs[indices].gather(1, anchors[..., None].expand(-1, -1, coefs.shape[2]))
            losses[name] = weight * self.loss_mask(coefs, protos[indices], masks, boxes, gt_index, valid)
        return losses

    def _positives(
        self, assignment: Assignment | None, rows: list[int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        """The positive anchors of each image in order, padded to the image that has most of them.

        Returns:
            Anchors (B, P), which of them are no padding (B, P), boxes (B, P, 4) in cells of the masks, rows of the
            ground truth (B, P); None where there is no positive anchor.
        """
        if not rows or assignment is None:
            return None
        foreground = assignment.foreground[rows]
        count = int(foreground.sum(dim=1).max())
        if count == 0:
            return None
        valid, anchors = foreground.to(torch.uint8).topk(count, dim=1)
        gt_index = assignment.gt_index[rows].gather(1, anchors)
        boxes = assignment.boxes[rows].gather(1, anchors[..., None].expand(-1, -1, 4)) / self.mask_stride
        return anchors, valid.bool(), boxes, gt_index

    def predict(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any], rescale: bool = True
    ) -> None:
        """Add ``masks`` (K, H, W) bool to ``pred_instances``."""
        outputs = self.forward(feats)
        size = tuple(self.mask_stride * side for side in outputs['mask_protos'].shape[2:])
        for index, (sample, found) in enumerate(zip(data_samples, shared['detections'], strict=True)):
            if len(found) == 0:
                shape = sample.metainfo['ori_shape'][:2] if rescale else size
                sample.pred_instances.masks = found.bboxes.new_zeros(0, *shape, dtype=torch.bool)
                continue
            coefs, protos = outputs['mask_coefs'][index, found.anchors], outputs['mask_protos'][index]
            chunks = [
                self._assemble(some_coefs, protos, some_boxes, size, sample, rescale)
                for some_coefs, some_boxes in zip(
                    coefs.split(MASKS_AT_ONCE), found.bboxes.split(MASKS_AT_ONCE), strict=True
                )
            ]
            sample.pred_instances.masks = torch.cat(chunks)

    @staticmethod
    def _assemble(
        coefs: Tensor, protos: Tensor, boxes: Tensor, size: tuple[int, ...], sample: DetDataSample, rescale: bool
    ) -> Tensor:
        """Masks of some detections: combine, upsample to the input, crop to the box, undo the letterbox."""
        soft = (coefs.float() @ protos.float().flatten(1)).sigmoid().unflatten(1, tuple(protos.shape[1:]))
        soft = F.interpolate(soft[None], size, mode='bilinear', align_corners=False)[0]
        masks = (soft > 0.5) & inside_boxes(boxes, *size)
        if not rescale:
            return masks
        return resize_to_image(masks.float(), sample) >= 0.5

    def switch_to_deploy(self) -> None:
        """Drop the auxiliary branches."""
        self.auxiliary = None


def _check_size(masks: Tensor, protos: Tensor) -> None:
    if masks.shape[2:] != protos.shape[2:]:
        raise ValueError(
            f'mask targets {tuple(masks.shape[2:])} and prototypes {tuple(protos.shape[2:])} differ in size; '
            'set mask_stride of PackMTLInputs to that of YOLORMaskHead'
        )
