"""Anchor-free detection head."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...registry import MODELS, TASK_UTILS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG, conv
from ..layers.implicit import ImplicitA, ImplicitM
from ..task_modules import Assignment, anchor_points, boxes_to_distances, distances_to_boxes
from .base_head import TaskHead, labelled_indices, zero_loss

DEFAULT_TEST_CFG = dict(score_thr=0.001, nms_pre=30000, nms=dict(type='nms', iou_threshold=0.7), max_per_img=300)


class DistributionProjection(nn.Module):
    """Expectation of a softmax over the bins 0..reg_max-1; the bins are frozen parameters as in the reference."""

    def __init__(self, reg_max: int) -> None:
        super().__init__()
        self.bins = nn.Parameter(torch.arange(reg_max, dtype=torch.float32), requires_grad=False)

    def forward(self, dists: Tensor) -> Tensor:
        """(..., 4 * reg_max) side-major logits -> (..., 4) distances in cells."""
        return dists.unflatten(-1, (4, -1)).float().softmax(dim=-1) @ self.bins


def prediction_branch(
    in_channels: int, mid_channels: int, out_channels: int, *, implicit: bool, norm_cfg: dict, act_cfg: dict
) -> nn.Sequential:
    """Two 3x3 convolutions and a biased 1x1, between implicit shift and scale if asked (REFERENCE_SPEC 2.1, 2.7)."""
    kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
    layers: list[nn.Module] = [
        conv(in_channels, mid_channels, 3, **kwargs),
        conv(mid_channels, mid_channels, 3, **kwargs),
        nn.Conv2d(mid_channels, out_channels, 1),
    ]
    if implicit:
        layers = [ImplicitA(in_channels), *layers, ImplicitM(out_channels)]
    return nn.Sequential(*layers)


def last_conv(branch: nn.Sequential) -> nn.Conv2d:
    """The biased 1x1 convolution of a :func:`prediction_branch`."""
    return next(layer for layer in reversed(branch) if isinstance(layer, nn.Conv2d))


@MODELS.register_module()
class YOLORDetectionHead(TaskHead):
    """Box and class branches of YOLOv7-AF (paper section 3.1, REFERENCE_SPEC 2.1, 3.1, 3.2).

    One point a cell at (x + 0.5, y + 0.5); the box is a distribution over ``reg_max`` bins for each of its four sides.

    Args:
        num_classes: Number of thing classes.
        in_channels: Channels of the levels.
        strides: Strides of the levels in px.
        reg_max: Bins of a side.
        implicit: Put implicit knowledge on both branches (REFERENCE_SPEC 2.7).
        assigner: Config of the assigner (TASK_UTILS).
        loss_cls: Classification loss, summed over anchors and divided by the sum of target scores.
        loss_bbox: Overlap loss of positives.
        loss_dfl: Loss on the distributions.
        test_cfg: ``score_thr`` (0..1), ``nms_pre`` (candidates before NMS), ``nms`` (mmcv config), ``max_per_img``.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.
        init_cfg: Config of the initialisation.

    Raises:
        ValueError: If ``in_channels`` and ``strides`` differ in length, ``num_classes`` < 1, or ``test_cfg`` has an
            unknown key.

    Shapes:
        feats[i] (B, in_channels[i], H/strides[i], W/strides[i]) -> ``cls_logits`` (B, N, num_classes) and
        ``box_dists`` (B, N, 4 * reg_max), anchors level by level and row-major.
    """

    task = 'det'
    provides = ('assignment', 'detections', 'det_indices')

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: Sequence[int] = (256, 512, 1024),
        strides: Sequence[int] = (8, 16, 32),
        reg_max: int = 16,
        implicit: bool = False,
        assigner: dict = dict(type='mmyolor_mtl.BatchedTaskAlignedAssigner'),
        loss_cls: dict = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=0.5),
        loss_bbox: dict = dict(type='mmyolor_mtl.CompleteIoULoss', loss_weight=7.5),
        loss_dfl: dict = dict(type='mmdet.DistributionFocalLoss', loss_weight=1.5),
        test_cfg: dict | None = None,
        norm_cfg: dict = NORM_CFG,
        act_cfg: dict = ACT_CFG,
        init_cfg: dict | None = INIT_CFG,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if len(in_channels) != len(strides):
            raise ValueError(f'in_channels {tuple(in_channels)} and strides {tuple(strides)} differ in length')
        if num_classes < 1:
            raise ValueError(f'num_classes must be at least 1, got {num_classes}')
        unknown = sorted(set(test_cfg or {}) - set(DEFAULT_TEST_CFG))
        if unknown:
            raise ValueError(
                f'test_cfg of the detection head has unknown keys {unknown}; it takes {sorted(DEFAULT_TEST_CFG)}'
            )
        self.num_classes = num_classes
        self.strides = tuple(strides)
        self.reg_max = reg_max
        self.test_cfg = {**DEFAULT_TEST_CFG, **(test_cfg or {})}
        self.assigner = TASK_UTILS.build(assigner)
        self.loss_cls = MODELS.build(loss_cls)
        self.loss_bbox = MODELS.build(loss_bbox)
        self.loss_dfl = MODELS.build(loss_dfl)

        box_channels = max(in_channels[0] // 4, 4 * reg_max, 16)
        cls_channels = max(in_channels[0], min(2 * num_classes, 128))
        kwargs = dict(implicit=implicit, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.box_branches = nn.ModuleList(
            prediction_branch(channels, box_channels, 4 * reg_max, **kwargs) for channels in in_channels
        )
        self.cls_branches = nn.ModuleList(
            prediction_branch(channels, cls_channels, num_classes, **kwargs) for channels in in_channels
        )
        self.projection = DistributionProjection(reg_max)

    def init_weights(self) -> None:
        """Default convolution weights, then the biases of REFERENCE_SPEC 2.1 (5 objects in a 640 px image)."""
        super().init_weights()
        for box, cls, stride in zip(self.box_branches, self.cls_branches, self.strides, strict=True):
            nn.init.constant_(last_conv(box).bias, 1.0)
            nn.init.constant_(last_conv(cls).bias, math.log(5 / self.num_classes / (640 / stride) ** 2))

    def forward(self, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """Raw class logits and box distributions of all anchors."""
        logits = [branch(x).flatten(2) for branch, x in zip(self.cls_branches, feats, strict=True)]
        dists = [branch(x).flatten(2) for branch, x in zip(self.box_branches, feats, strict=True)]
        return dict(cls_logits=torch.cat(logits, 2).transpose(1, 2), box_dists=torch.cat(dists, 2).transpose(1, 2))

    def _points(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        sizes = [(x.shape[2], x.shape[3]) for x in feats]
        return anchor_points(sizes, self.strides, feats[0])

    def loss(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any]
    ) -> dict[str, Tensor]:
        """Losses over the images labelled with boxes; leaves ``assignment`` and ``det_indices`` in ``shared``."""
        outputs = self.forward(feats)
        indices = labelled_indices(data_samples, self.task)
        shared['det_indices'] = indices
        if not indices:
            zero = zero_loss(*outputs.values())
            return dict(loss_det_cls=zero, loss_det_bbox=zero, loss_det_dfl=zero)
        logits, dists = (outputs[name][indices].float() for name in ('cls_logits', 'box_dists'))
        points, stride = self._points(feats)
        boxes = distances_to_boxes(points / stride, self.projection(dists))
        assignment = self._assign(logits, boxes * stride, points, [data_samples[i] for i in indices])
        shared['assignment'] = assignment
        return self.loss_by_feat(logits, dists, boxes, points, stride, assignment)

    def _assign(self, logits: Tensor, boxes: Tensor, points: Tensor, samples: list[DetDataSample]) -> Assignment:
        labels = [sample.gt_instances.labels for sample in samples]
        gt_boxes = [sample.gt_instances.bboxes for sample in samples]
        gt_labels = nn.utils.rnn.pad_sequence(labels, batch_first=True)
        counts = torch.tensor([len(x) for x in labels], device=logits.device)
        valid = torch.arange(gt_labels.shape[1], device=logits.device) < counts[:, None]
        return self.assigner.assign(
            logits.detach().sigmoid(),
            boxes.detach(),
            points,
            gt_labels,
            nn.utils.rnn.pad_sequence(gt_boxes, batch_first=True).to(boxes),
            valid,
        )

    def loss_by_feat(
        self, logits: Tensor, dists: Tensor, boxes: Tensor, points: Tensor, stride: Tensor, assignment: Assignment
    ) -> dict[str, Tensor]:
        """The three terms of REFERENCE_SPEC 3.2.

        Args:
            logits: (B, N, C) class logits.
            dists: (B, N, 4 * reg_max) box distributions.
            boxes: (B, N, 4) decoded boxes in cells.
            points: (N, 2) anchor points, px.
            stride: (N, 1) px a cell.
            assignment: What the anchors learn.
        """
        foreground = assignment.foreground
        target = torch.zeros_like(logits)
        target.scatter_(2, assignment.labels[..., None], assignment.scores[..., None].to(target))
        # The reference divides by zero when no anchor is positive; one is what an empty sum costs nothing with.
        total = assignment.scores.sum().clamp(min=1)
        loss_cls = self.loss_cls(logits, target, avg_factor=total)

        image, anchor = foreground.nonzero(as_tuple=True)
        weight = assignment.scores[image, anchor].to(logits)
        cells = stride[anchor]
        gt_boxes = assignment.boxes[image, anchor] / cells
        loss_bbox = self.loss_bbox(boxes[image, anchor], gt_boxes, weight=weight, avg_factor=total)
        target_dists = boxes_to_distances(points[anchor] / cells, gt_boxes, self.reg_max - 1 - 0.01)
        loss_dfl = self.loss_dfl(
            dists[image, anchor].reshape(-1, self.reg_max),
            target_dists.reshape(-1),
            weight=weight[:, None].expand(-1, 4).reshape(-1),
            avg_factor=4 * total,
        )
        return dict(loss_det_cls=loss_cls, loss_det_bbox=loss_bbox, loss_det_dfl=loss_dfl)

    def predict(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any], rescale: bool = True
    ) -> None:
        """Class-aware multi-label NMS; ``pred_instances`` in image space, ``detections`` in network space."""
        outputs = self.forward(feats)
        points, stride = self._points(feats)
        boxes = distances_to_boxes(points, self.projection(outputs['box_dists']) * stride)
        scores = outputs['cls_logits'].float().sigmoid()
        shared['detections'] = []
        for sample, image_boxes, image_scores in zip(data_samples, boxes, scores, strict=True):
            detections = self._select(image_boxes, image_scores)
            shared['detections'].append(detections)
            result = InstanceData(scores=detections.scores, labels=detections.labels)
            result.bboxes = to_image_space(detections.bboxes, sample) if rescale else detections.bboxes
            sample.pred_instances = result

    def _select(self, boxes: Tensor, scores: Tensor) -> InstanceData:
        """NMS over every (anchor, class) above the threshold; ``anchors`` remembers where each box came from."""
        anchor, label = (scores > self.test_cfg['score_thr']).nonzero(as_tuple=True)
        score = scores[anchor, label]
        if len(score) > self.test_cfg['nms_pre']:
            score, keep = score.topk(self.test_cfg['nms_pre'])
            anchor, label = anchor[keep], label[keep]
        if len(score) > 0:  # mmcv's batched_nms cannot take none
            _, keep = batched_nms(boxes[anchor], score, label, self.test_cfg['nms'])
            keep = keep[: self.test_cfg['max_per_img']]
            anchor, label, score = anchor[keep], label[keep], score[keep]
        return InstanceData(bboxes=boxes[anchor], scores=score, labels=label, anchors=anchor)


def to_image_space(boxes: Tensor, sample: DetDataSample) -> Tensor:
    """Undo the letterbox: subtract the padding, divide by the scale, clip to the original image.

    Args:
        boxes: (K, 4) xyxy in px of the network input.
        sample: Its metainfo gives ``pad_param`` (top, bottom, left, right), ``scale_factor`` (w, h), ``ori_shape``.
    """
    top, _, left, _ = sample.metainfo.get('pad_param', (0, 0, 0, 0))
    scale = boxes.new_tensor(sample.metainfo.get('scale_factor', (1, 1))).repeat(2)
    height, width = sample.metainfo['ori_shape'][:2]
    boxes = (boxes - boxes.new_tensor([left, top, left, top])) / scale
    return boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
