"""Anchor-free detection head."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmdet.structures import DetDataSample
from mmengine.dist import get_world_size
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...registry import MODELS, TASK_UTILS
from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG
from ..losses.across_processes import sum_over_processes
from ..task_modules import Assignment, anchor_points, boxes_to_distances, distances_to_boxes
from .base_head import TaskHead, auxiliary_config, labelled_indices, zero_loss
from .branches import DetectionBranches

TEST_CFG = dict(
    branch='one_to_many', score_thr=0.001, nms_pre=30000, nms=dict(type='nms', iou_threshold=0.7), max_per_img=300
)
# The one-to-one branch learned to fire once an object: it needs no NMS.
ONE_TO_ONE_TEST_CFG = {**TEST_CFG, 'branch': 'one_to_one', 'nms': None}


@MODELS.register_module()
class YOLORDetectionHead(TaskHead):
    """Anchor-free boxes and classes (paper section 3.1, REFERENCE_SPEC 2.1, 3.1-3.3).

    One point a cell at (x + 0.5, y + 0.5); the box is a distribution over ``reg_max`` bins for each of its four sides.

    There are up to three sets of branches. The main one learns one-to-many: an object has up to ten positive anchors.
    ``one_to_one`` adds a twin that reads the same features without a gradient to them and learns one anchor an object.
    ``auxiliary`` adds one on the features of the auxiliary branch, which learns what the main one is assigned.

    Args:
        num_classes: Number of thing classes.
        in_channels: Channels of the levels.
        strides: Strides of the levels in px.
        reg_max: Bins of a side.
        box_groups: 4 groups the box branches by side (``DDetect``); 1 does not.
        light_cls: Depth-wise class branches, as GYOLO's.
        implicit: Put implicit knowledge on the branches (REFERENCE_SPEC 2.7).
        one_to_one: Add the one-to-one branches.
        auxiliary: ``in_channels`` of the auxiliary features and ``loss_weight`` (0.25 by default) of their losses, or
            None for no auxiliary branches.
        assigner: Config of the assigner (TASK_UTILS).
        one_to_one_assigner: Config of the assigner of the one-to-one branches.
        loss_cls: Classification loss, summed over anchors and divided by the sum of target scores.
        loss_bbox: Overlap loss of positives.
        loss_dfl: Loss on the distributions.
        test_cfg: ``branch`` ('one_to_many' or 'one_to_one', which is the default where there is one), ``score_thr``
            (0..1), ``nms_pre`` (candidates before NMS), ``nms`` (mmcv config; None for no NMS, the default of
            'one_to_one' and refused for 'one_to_many'), ``max_per_img``.
        norm_cfg: Config of the norm layers.
        act_cfg: Config of the activations.
        init_cfg: Config of the initialisation.

    Raises:
        ValueError: If ``in_channels`` and ``strides`` differ in length, ``num_classes`` < 1, ``box_groups`` is
            neither 1 nor 4, ``auxiliary`` or ``test_cfg`` has an unknown key, or ``test_cfg`` asks for what the head
            does not have.

    Shapes:
        feats[i] (B, in_channels[i], H/strides[i], W/strides[i]) -> ``cls_logits`` (B, N, num_classes) and
        ``box_dists`` (B, N, 4 * reg_max), anchors level by level and row-major.
    """

    task = 'det'

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: Sequence[int] = (256, 512, 1024),
        strides: Sequence[int] = (8, 16, 32),
        reg_max: int = 16,
        box_groups: int = 1,
        light_cls: bool = False,
        implicit: bool = False,
        one_to_one: bool = False,
        auxiliary: dict | None = None,
        assigner: dict = dict(type='mmyolor_mtl.BatchedTaskAlignedAssigner'),
        one_to_one_assigner: dict = dict(type='mmyolor_mtl.BatchedTaskAlignedAssigner', topk=1),
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
        if box_groups not in (1, 4):
            raise ValueError(f'box_groups must be 1, or 4 for one group a side of the box, got {box_groups}')
        self.num_classes = num_classes
        self.strides = tuple(strides)
        self.reg_max = reg_max
        self.test_cfg = _check_test_cfg(test_cfg or {}, one_to_one)
        self.assigner = TASK_UTILS.build(assigner)
        self.loss_cls = MODELS.build(loss_cls)
        self.loss_bbox = MODELS.build(loss_bbox)
        self.loss_dfl = MODELS.build(loss_dfl)

        kwargs = dict(
            num_classes=num_classes,
            strides=strides,
            reg_max=reg_max,
            box_groups=box_groups,
            light_cls=light_cls,
            implicit=implicit,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
        )
        self.provides = ('assignment', 'detections', 'det_indices')
        self.main: DetectionBranches | None = DetectionBranches(in_channels=in_channels, **kwargs)
        self.one_to_one = None
        if one_to_one:
            self.one_to_one = self.main.twin()
            self.one_to_one_assigner = TASK_UTILS.build(one_to_one_assigner)
            self.provides += ('o2o_cls_logits',)
        self.auxiliary = None
        if auxiliary is not None:
            channels, self.auxiliary_weight = auxiliary_config(auxiliary)
            self.auxiliary = DetectionBranches(in_channels=channels, **kwargs)
            self.requires = ('auxiliary',)

    def init_weights(self) -> None:
        """Default convolution weights, then the biases; the one-to-one branches start as the main ones."""
        super().init_weights()
        for branches in (self.main, self.auxiliary):
            if branches is not None:
                branches.init_biases()
        if self.one_to_one is not None and self.main is not None:
            self.one_to_one.load_state_dict(self.main.state_dict())

    @property
    def inference_branches(self) -> Any:
        """The branches that ``test_cfg.branch`` names."""
        return self.one_to_one if self.test_cfg['branch'] == 'one_to_one' else self.main

    def forward(self, feats: Sequence[Tensor], shared: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
        """Raw class logits and box distributions of all anchors, from the branches used at inference.

        A head with one-to-one branches adds their logits, ``o2o_cls_logits`` (B, N, num_classes), by which other heads
        find the places worth a look whatever ``test_cfg`` says.
        """
        logits, dists = self.inference_branches(feats)
        outputs = dict(cls_logits=logits, box_dists=dists)
        if self.one_to_one is not None:
            is_one_to_one = self.inference_branches is self.one_to_one
            outputs['o2o_cls_logits'] = logits if is_one_to_one else self.one_to_one.class_logits(feats)
        return outputs

    @torch.no_grad()
    def context(self, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """What heads of other tasks may read: ``o2o_cls_logits``, without a gradient."""
        return {} if self.one_to_one is None else dict(o2o_cls_logits=self.one_to_one.class_logits(feats))

    def _levels(self, feats: Sequence[Tensor]) -> list[tuple[int, int, int]]:
        """Rows, columns and stride of each level."""
        return [(feat.shape[2], feat.shape[3], stride) for feat, stride in zip(feats, self.strides, strict=False)]

    def anchors(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Anchor points (N, 2) and strides (N, 1), px."""
        return anchor_points([level[:2] for level in self._levels(feats)], self.strides, feats[0])

    def loss(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any]
    ) -> dict[str, Tensor]:
        """Losses over the images labelled with boxes; leaves ``assignment`` and ``det_indices`` in ``shared``.

        Terms are named ``loss_det_cls``, ``loss_det_bbox`` and ``loss_det_dfl``, with ``_o2o`` and ``_aux`` behind
        them for those of the other branches.
        """
        if self.main is None:
            raise RuntimeError('the detection head is in its deploy form, which cannot be trained: build it anew')
        indices = shared['det_indices'] = labelled_indices(data_samples, self.task)
        samples = [data_samples[i] for i in indices]
        points, stride = self.anchors(feats)
        levels = self._levels(feats)

        def run(
            branches: DetectionBranches, inputs: Sequence[Tensor], assigner: Any, given: Assignment | None, suffix: str
        ) -> tuple[dict[str, Tensor], Assignment | None]:
            logits, dists = branches(inputs)
            if not indices:
                _mean_total(None, logits)
                zero = zero_loss(logits, dists)
                return {f'loss_det_{term}{suffix}': zero for term in ('cls', 'bbox', 'dfl')}, None
            logits, dists = logits[indices].float(), dists[indices].float()
            boxes = distances_to_boxes(points / stride, branches.projection(dists))
            assignment = given
            if assignment is None:
                assignment = self._assign(assigner, logits, boxes * stride, levels, samples)
            terms = self.loss_by_feat(logits, dists, boxes, points, stride, assignment)
            return {f'{name}{suffix}': value for name, value in terms.items()}, assignment

        losses, assignment = run(self.main, feats, self.assigner, None, '')
        shared['assignment'] = assignment
        if self.one_to_one is not None:
            # What the one-to-one branches learn shall not disturb the features that one-to-many shapes.
            inputs = [feat.detach() for feat in feats]
            losses.update(run(self.one_to_one, inputs, self.one_to_one_assigner, None, '_o2o')[0])
        if self.auxiliary is not None:
            auxiliary, _ = run(self.auxiliary, shared['auxiliary'], None, assignment, '_aux')
            losses.update({name: self.auxiliary_weight * value for name, value in auxiliary.items()})
        return losses

    @staticmethod
    def _assign(
        assigner: Any,
        logits: Tensor,
        boxes: Tensor,
        levels: list[tuple[int, int, int]],
        samples: list[DetDataSample],
    ) -> Assignment:
        labels = [sample.gt_instances.labels for sample in samples]
        gt_boxes = [sample.gt_instances.bboxes for sample in samples]
        gt_labels = nn.utils.rnn.pad_sequence(labels, batch_first=True)
        counts = torch.tensor([len(x) for x in labels], device=logits.device)
        valid = torch.arange(gt_labels.shape[1], device=logits.device) < counts[:, None]
        return assigner.assign(
            logits.detach().sigmoid(),
            boxes.detach(),
            levels,
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
        total = _mean_total(assignment, logits)
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
        """Class-aware multi-label NMS, or none; ``pred_instances`` in image, ``detections`` in network space."""
        outputs = self.forward(feats)
        if 'o2o_cls_logits' in outputs:
            shared['o2o_cls_logits'] = outputs['o2o_cls_logits']
        points, stride = self.anchors(feats)
        boxes = distances_to_boxes(points, self.inference_branches.projection(outputs['box_dists']) * stride)
        scores = outputs['cls_logits'].float().sigmoid()
        shared['detections'] = []
        for sample, image_boxes, image_scores in zip(data_samples, boxes, scores, strict=True):
            detections = self._select(image_boxes, image_scores)
            shared['detections'].append(detections)
            result = InstanceData(scores=detections.scores, labels=detections.labels)
            result.bboxes = to_image_space(detections.bboxes, sample) if rescale else detections.bboxes
            sample.pred_instances = result

    def _select(self, boxes: Tensor, scores: Tensor) -> InstanceData:
        """Choose among all (anchor, class) above the threshold; ``anchors`` remembers where each box came from."""
        cfg = self.test_cfg
        anchor, label = (scores > cfg['score_thr']).nonzero(as_tuple=True)
        score = scores[anchor, label]
        most = cfg['max_per_img'] if cfg['nms'] is None else cfg['nms_pre']
        if cfg['nms'] is None or len(score) > most:
            score, keep = score.topk(min(most, len(score)))
            anchor, label = anchor[keep], label[keep]
        if cfg['nms'] is not None and len(score) > 0:  # mmcv's batched_nms cannot take none
            _, keep = batched_nms(boxes[anchor], score, label, cfg['nms'])
            keep = keep[: cfg['max_per_img']]
            anchor, label, score = anchor[keep], label[keep], score[keep]
        return InstanceData(bboxes=boxes[anchor], scores=score, labels=label, anchors=anchor)

    def switch_to_deploy(self) -> None:
        """Drop the branches that inference does not use; of the one-to-one ones the logits are always used."""
        self.auxiliary = None
        if self.test_cfg['branch'] == 'one_to_one':
            self.main = None


def _mean_total(assignment: Assignment | None, like: Tensor) -> Tensor:
    """Sum of target scores by which losses are divided: the mean over the processes, each of which calls this.

    The reference divides by zero when no anchor is positive; one is what an empty sum costs nothing with.
    """
    total = like.new_zeros((), dtype=torch.float32) if assignment is None else assignment.scores.sum().float()
    return sum_over_processes(total).clamp(min=1) / get_world_size()


def _check_test_cfg(test_cfg: dict, one_to_one: bool) -> dict:
    unknown = sorted(set(test_cfg) - set(TEST_CFG))
    if unknown:
        raise ValueError(f'test_cfg of the detection head has unknown keys {unknown}; it takes {sorted(TEST_CFG)}')
    branch = test_cfg.get('branch', 'one_to_one' if one_to_one else 'one_to_many')
    if branch not in ('one_to_one', 'one_to_many'):
        raise ValueError(f"test_cfg.branch must be 'one_to_one' or 'one_to_many', got {branch!r}")
    if branch == 'one_to_one' and not one_to_one:
        raise ValueError("test_cfg.branch='one_to_one' needs a detection head with one_to_one=True")
    cfg = {**(ONE_TO_ONE_TEST_CFG if branch == 'one_to_one' else TEST_CFG), **test_cfg}
    if branch == 'one_to_many' and cfg['nms'] is None:
        raise ValueError("test_cfg.nms=None needs branch='one_to_one': one-to-many branches find an object many times")
    return cfg


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
