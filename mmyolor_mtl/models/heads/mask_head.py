"""Instance masks as linear combinations of prototypes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from ...postprocess import Placement, assemble_masks
from ...registry import MODELS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG
from ..losses.across_processes import share_of_processes
from ..task_modules import Assignment
from .base_head import TaskHead, auxiliary_config, labelled_indices, zero_loss
from .branches import MaskBranches

# 300 masks of 1,920 x 1,080 px are above it, 1,000 of 640 x 480 px below.
TEST_CFG = dict(rle_above=2**29)


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
        test_cfg: ``rle_above`` (bytes): the masks of a picture are a bool tensor up to this size, above it a list of
            COCO run lengths, which ``CocoMetric`` takes too; 0 for run lengths always. 512 MiB by default.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.
        init_cfg: Config of the initialisation.

    Raises:
        ValueError: If ``test_cfg`` has an unknown key.

    Shapes:
        feats[i] (B, in_channels[i], H_i, W_i) -> ``mask_coefs`` (B, N, M) without activation and ``mask_protos``
        (B, M, H/4, W/4) behind batch norm and SiLU.
    """

    task = 'ins'
    requires: tuple[str, ...] = ('assignment', 'detections', 'det_indices')
    provides: tuple[str, ...] = ('instance_masks',)

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
        test_cfg: dict | None = None,
        norm_cfg: dict = NORM_CFG,
        act_cfg: dict = ACT_CFG,
        init_cfg: dict | None = INIT_CFG,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        unknown = sorted(set(test_cfg or {}) - set(TEST_CFG))
        if unknown:
            raise ValueError(f'test_cfg of the mask head has unknown keys {unknown}; it takes {sorted(TEST_CFG)}')
        self.test_cfg = {**TEST_CFG, **(test_cfg or {})}
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
        share = share_of_processes(len(indices), feats[0])
        positives = self._positives(shared['assignment'], [rows[i] for i in indices])
        if positives is None:
            return {name: zero_loss(*tensors) for name, (_, tensors) in outputs.items()}
        anchors, valid, boxes, gt_index = positives
        masks = nn.utils.rnn.pad_sequence([data_samples[i].gt_mask_targets for i in indices], batch_first=True)
        losses = {}
        for name, (weight, (coefs, protos)) in outputs.items():
            _check_size(masks, protos)
            coefs = coefs[indices].gather(1, anchors[..., None].expand(-1, -1, coefs.shape[2]))
            losses[name] = weight * share * self.loss_mask(coefs, protos[indices], masks, boxes, gt_index, valid)
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
        """Add ``masks`` to ``pred_instances``, (K, H, W) bool or run lengths; leave them in ``shared`` as windows.

        On a GPU the prototypes and what belongs to the detections come to the host, where the masks are put together.
        """
        outputs = self.forward(feats)
        found_in = zip(data_samples, shared['detections'], outputs['mask_coefs'], outputs['mask_protos'], strict=True)
        shared['instance_masks'] = []
        for sample, found, coefs, protos in found_in:
            size = [self.mask_stride * side for side in protos.shape[1:]]
            placement = Placement.from_meta(sample.metainfo) if rescale else Placement.whole_input(*size)
            own_coefs, own_protos, boxes = (
                x.detach().float().cpu().numpy() for x in (coefs[found.anchors], protos, found.bboxes)
            )
            masks = assemble_masks(own_coefs, own_protos, boxes, self.mask_stride, placement)
            shared['instance_masks'].append(masks)
            if len(masks) * masks.size[0] * masks.size[1] > self.test_cfg['rle_above']:
                sample.pred_instances.masks = masks.to_rle()
            else:
                sample.pred_instances.masks = torch.from_numpy(masks.to_array()).to(protos.device)

    def switch_to_deploy(self) -> None:
        """Drop the auxiliary branches."""
        self.auxiliary = None


def _check_size(masks: Tensor, protos: Tensor) -> None:
    if masks.shape[2:] != protos.shape[2:]:
        raise ValueError(
            f'mask targets {tuple(masks.shape[2:])} and prototypes {tuple(protos.shape[2:])} differ in size; '
            'set mask_stride of PackMTLInputs to that of YOLORMaskHead'
        )
