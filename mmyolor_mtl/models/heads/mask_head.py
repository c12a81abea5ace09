"""Instance masks as linear combinations of prototypes."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG, conv
from ..losses.mask import inside_boxes
from .base_head import TaskHead, labelled_indices, zero_loss
from .detection_head import prediction_branch
from .resize import resize_to_image

MASKS_AT_ONCE = 32


@MODELS.register_module()
class YOLORMaskHead(TaskHead):
    """Mask coefficients a anchor and prototypes an image (paper section 3.1, REFERENCE_SPEC 2.2, 3.2, 6.2).

    Args:
        in_channels: Channels of the levels; the first feeds the prototypes.
        num_prototypes: Number M of prototypes.
        proto_channels: Hidden channels of the prototype branch.
        mask_stride: Stride of the prototypes in px: half the stride of the first level.
        implicit: Put implicit knowledge on the coefficient branches (REFERENCE_SPEC 2.7).
        loss_mask: Config of the loss.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.
        init_cfg: Config of the initialisation.

    Shapes:
        feats[i] (B, in_channels[i], H_i, W_i) -> ``mask_coefs`` (B, N, M) without activation and ``mask_protos``
        (B, M, H/4, W/4) behind batch norm and SiLU.
    """

    task = 'ins'
    requires = ('assignment', 'detections', 'det_indices')

    def __init__(
        self,
        *,
        in_channels: Sequence[int] = (256, 512, 1024),
        num_prototypes: int = 32,
        proto_channels: int = 256,
        mask_stride: int = 4,
        implicit: bool = False,
        loss_mask: dict = dict(type='mmyolor_mtl.PrototypeMaskLoss', loss_weight=2.5),
        norm_cfg: dict = NORM_CFG,
        act_cfg: dict = ACT_CFG,
        init_cfg: dict | None = INIT_CFG,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.mask_stride = mask_stride
        self.loss_mask = MODELS.build(loss_mask)
        kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        coef_channels = max(in_channels[0] // 4, num_prototypes)
        self.coef_branches = nn.ModuleList(
            prediction_branch(channels, coef_channels, num_prototypes, implicit=implicit, **kwargs)
            for channels in in_channels
        )
        self.proto = nn.Sequential(
            conv(in_channels[0], proto_channels, 3, **kwargs),
            nn.Upsample(scale_factor=2, mode='nearest'),
            conv(proto_channels, proto_channels, 3, **kwargs),
            conv(proto_channels, num_prototypes, 1, **kwargs),
        )

    def forward(self, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """Coefficients of all anchors and prototypes."""
        coefs = [branch(x).flatten(2) for branch, x in zip(self.coef_branches, feats, strict=True)]
        return dict(mask_coefs=torch.cat(coefs, 2).transpose(1, 2), mask_protos=self.proto(feats[0]))

    def loss(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any]
    ) -> dict[str, Tensor]:
        """Mask loss of the positive anchors of the images labelled with masks (they carry boxes too)."""
        outputs = self.forward(feats)
        coefs, protos = outputs['mask_coefs'], outputs['mask_protos']
        rows = {image: row for row, image in enumerate(shared['det_indices'])}
        indices = [i for i in labelled_indices(data_samples, self.task) if i in rows]
        if not indices:
            return dict(loss_ins_mask=zero_loss(coefs, protos))
        assignment = shared['assignment']
        selected = [rows[i] for i in indices]
        foreground = assignment.foreground[selected]
        count = int(foreground.sum(dim=1).max())
        if count == 0:
            return dict(loss_ins_mask=zero_loss(coefs, protos))
        # Positives first, in anchor order, padded to the image that has most of them.
        valid, anchors = foreground.to(torch.uint8).topk(count, dim=1)
        gt_index = assignment.gt_index[selected].gather(1, anchors)
        boxes = assignment.boxes[selected].gather(1, anchors[..., None].expand(-1, -1, 4)) / self.mask_stride
        coefs = coefs[indices].gather(1, anchors[..., None].expand(-1, -1, coefs.shape[2]))
        masks = self._gather_masks([data_samples[i] for i in indices], gt_index, protos)
        return dict(loss_ins_mask=self.loss_mask(coefs, protos[indices], masks, boxes, valid.bool()))

    @staticmethod
    def _gather_masks(samples: list[DetDataSample], gt_index: Tensor, protos: Tensor) -> Tensor:
        """Ground-truth masks of the positives: (B, P, h, w) uint8."""
        masks = nn.utils.rnn.pad_sequence([sample.gt_mask_targets for sample in samples], batch_first=True)
        if masks.shape[2:] != protos.shape[2:]:
            raise ValueError(
                f'mask targets {tuple(masks.shape[2:])} and prototypes {tuple(protos.shape[2:])} differ in size; '
                'set mask_stride of PackMTLInputs to that of YOLORMaskHead'
            )
        return masks.gather(1, gt_index[..., None, None].expand(-1, -1, *masks.shape[2:]))

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
