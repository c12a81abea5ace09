"""All vision losses, forward and backward to the head's outputs, against the plain dense formulas written out here.

The formulas are those of REFERENCE_SPEC 3.2 as they stand: the mask logits of every positive over the whole image, and
a multi-hot map of all semantic classes. Assignment is the same on both sides and in both times. Each side runs in a
process of its own, so that its peak memory can be read.

Example::

    python tools/analysis_tools/benchmark_losses.py --objects 10 50
"""

import argparse
import json
import multiprocessing
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor

from mmyolor_mtl.models.heads import YOLORDetectionHead, YOLORMaskHead, YOLORSemanticHead
from mmyolor_mtl.models.losses import complete_iou, inside_boxes
from mmyolor_mtl.models.task_modules import anchor_points, boxes_to_distances, distances_to_boxes
from mmyolor_mtl.utils.benchmark import best_time, peak_memory, random_boxes

STRIDES = (8, 16, 32)
OUTPUTS = ('cls_logits', 'box_dists', 'mask_coefs', 'mask_protos', 'sem_logits')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=640, help='input size in px, a multiple of 32 (default: 640)')
    parser.add_argument('--batch', type=int, default=8, help='images (default: 8)')
    parser.add_argument('--objects', type=int, nargs='+', default=[10, 50], help='objects an image (default: 10 50)')
    parser.add_argument('--classes', type=int, default=80, help='things (default: 80)')
    parser.add_argument('--semantic-classes', type=int, default=173, help='semantic channels (default: 173)')
    parser.add_argument('--repeats', type=int, default=3, help='timed runs, the fastest counts (default: 3)')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads(), help='threads (default: %(default)s)')
    args = parser.parse_args(argv)
    if args.size % 32 or args.size < 32:
        parser.error(f'--size {args.size} must be a multiple of 32')
    return args


def make_inputs(args: argparse.Namespace, objects: int) -> tuple[dict[str, Tensor], list[DetDataSample]]:
    """Random outputs of the heads and labels: boxes with round masks, a semantic map of large patches."""
    torch.manual_seed(0)
    size, batch, cells = args.size, args.batch, args.size // 4
    anchors = sum((size // stride) ** 2 for stride in STRIDES)
    shapes = dict(
        cls_logits=(batch, anchors, args.classes),
        box_dists=(batch, anchors, 64),
        mask_coefs=(batch, anchors, 32),
        mask_protos=(batch, 32, cells, cells),
        sem_logits=(batch, args.semantic_classes, cells, cells),
    )
    outputs = {name: torch.randn(shape).requires_grad_() for name, shape in shapes.items()}
    with torch.no_grad():
        outputs['cls_logits'] -= 4
    samples = []
    grid = (torch.arange(cells) + 0.5) * 4
    for _ in range(batch):
        boxes = random_boxes(objects, size)
        centre, radius = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
        x, y = ((grid - centre[:, axis, None]) / radius[:, axis, None] for axis in (0, 1))
        sample = DetDataSample()
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.randint(0, args.classes, (objects,)))
        sample.set_field((x[:, None] ** 2 + y[..., None] ** 2 <= 1).to(torch.uint8), 'gt_mask_targets')
        patches = torch.randint(0, args.semantic_classes, (1, cells // 8, cells // 8)).float()
        semantic = F.interpolate(patches[None], (cells, cells), mode='nearest')[0].long()
        sample.set_field(semantic, 'gt_sem_target')
        samples.append(sample)
    return outputs, samples


def levels_of(args: argparse.Namespace) -> list[tuple[int, int, int]]:
    """Rows, columns and stride of each level."""
    return [(args.size // stride, args.size // stride, stride) for stride in STRIDES]


def points_of(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Anchor points and strides."""
    return anchor_points([(args.size // stride,) * 2 for stride in STRIDES], STRIDES, torch.zeros(1))


def _stand_in(outputs: list[Tensor], feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What a head's convolutions would return."""
    return tuple(outputs)


class Ours:
    """The losses of the heads."""

    def __init__(self, args: argparse.Namespace) -> None:
        narrow = dict(in_channels=(8, 8, 8))
        self.det: Any = YOLORDetectionHead(num_classes=args.classes, **narrow)
        self.ins: Any = YOLORMaskHead(**narrow)
        self.sem = YOLORSemanticHead(num_classes=args.semantic_classes, **narrow)
        self.args = args

    def __call__(self, outputs: dict[str, Tensor], samples: list[DetDataSample]) -> dict[str, Tensor]:
        """All terms by name, as the heads compute them behind their convolutions."""
        feats = [torch.zeros(1, 1, self.args.size // stride, self.args.size // stride) for stride in STRIDES]
        for head, names in ((self.det, ('cls_logits', 'box_dists')), (self.ins, ('mask_coefs', 'mask_protos'))):
            head.main.forward = partial(_stand_in, [outputs[name] for name in names])
        shared: dict[str, Any] = {}
        losses = self.det.loss(feats, samples, shared)
        losses.update(self.ins.loss(feats, samples, shared))
        losses.update(self.semantic(outputs, samples))
        return losses

    def semantic(self, outputs: dict[str, Tensor], samples: list[DetDataSample]) -> dict[str, Tensor]:
        """The two semantic terms."""
        target = torch.stack([sample.gt_sem_target for sample in samples])
        logits = outputs['sem_logits']
        return dict(
            loss_sem_pixel=self.sem.loss_pixel(logits, target), loss_sem_dice=self.sem.loss_dice(logits, target)
        )


class Dense:
    """The formulas of REFERENCE_SPEC 3.2, written out."""

    def __init__(self, args: argparse.Namespace) -> None:
        head: Any = YOLORDetectionHead(num_classes=args.classes, in_channels=(8, 8, 8))
        self.assign, self.projection = partial(head._assign, head.assigner), head.main.projection
        self.args = args

    def __call__(self, outputs: dict[str, Tensor], samples: list[DetDataSample]) -> dict[str, Tensor]:
        """All terms by name."""
        points, stride = points_of(self.args)
        logits, dists = outputs['cls_logits'], outputs['box_dists']
        boxes = distances_to_boxes(points / stride, self.projection(dists))
        found = self.assign(logits, boxes * stride, levels_of(self.args), samples)
        scores = F.one_hot(found.labels, self.args.classes) * found.scores[..., None]
        total = scores.sum().clamp(min=1)
        image, anchor = found.foreground.nonzero(as_tuple=True)
        weight = scores.sum(-1)[image, anchor]
        cells = stride[anchor]
        target = found.boxes[image, anchor] / cells
        sides = boxes_to_distances(points[anchor] / cells, target, 15 - 0.01)
        left = sides.floor().long()
        bins = dists[image, anchor].reshape(-1, 16)
        low = F.cross_entropy(bins, left.flatten(), reduction='none').view_as(sides) * (left + 1 - sides)
        high = F.cross_entropy(bins, left.flatten() + 1, reduction='none').view_as(sides) * (sides - left)
        return dict(
            loss_det_cls=0.5 * F.binary_cross_entropy_with_logits(logits, scores, reduction='none').sum() / total,
            loss_det_bbox=7.5 * ((1 - complete_iou(boxes[image, anchor], target)) * weight).sum() / total,
            loss_det_dfl=1.5 * ((low + high).mean(-1) * weight).sum() / total,
            loss_ins_mask=self.masks(outputs, samples, found),
            **self.semantic(outputs, samples),
        )

    def masks(self, outputs: dict[str, Tensor], samples: list[DetDataSample], found: Any) -> Tensor:
        """Whole-image mask logits of every positive, image by image."""
        protos = outputs['mask_protos']
        height, width = protos.shape[2:]
        total = 0.0
        for i, sample in enumerate(samples):
            anchors = found.foreground[i].nonzero()[:, 0]
            logits = (outputs['mask_coefs'][i, anchors] @ protos[i].flatten(1)).unflatten(1, (height, width))
            target = sample.gt_mask_targets[found.gt_index[i, anchors]].float()
            boxes = found.boxes[i, anchors] / 4
            loss = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
            loss = (loss * inside_boxes(boxes, height, width)).mean(dim=(1, 2))
            area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
            total = total + (loss / area).mean()
        return 2.5 / len(samples) * total

    def semantic(self, outputs: dict[str, Tensor], samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Focal and dice against the multi-hot map of all classes."""
        logits = outputs['sem_logits']
        index = torch.stack([sample.gt_sem_target[0] for sample in samples])
        hot = F.one_hot(index, self.args.semantic_classes).permute(0, 3, 1, 2).float()
        probability = logits.sigmoid()
        right = probability * hot + (1 - probability) * (1 - hot)
        cost = F.binary_cross_entropy_with_logits(logits, hot, reduction='none')
        focal = cost * (1 - right) ** 2 * (0.25 * hot + 0.75 * (1 - hot))
        share = logits.softmax(dim=1)
        dice = (2 * (share * hot).sum() + 1) / (share.sum() + hot.sum() + 1)
        return dict(loss_sem_pixel=25 * focal.mean(), loss_sem_dice=1.25 * (1 - dice))


def measure(side: type, args: argparse.Namespace, objects: int, semantic_only: bool) -> dict[str, Any]:
    """Seconds, extra memory in MiB, terms, and a norm of each gradient; to be run in a fresh process."""
    torch.set_num_threads(args.threads)
    init_default_scope('mmdet')
    outputs, samples = make_inputs(args, objects)
    losses_of = side(args)
    function = losses_of.semantic if semantic_only else losses_of
    values: dict[str, float] = {}

    def step() -> None:
        losses = function(outputs, samples)
        values.update({name: float(value.detach()) for name, value in losses.items()})
        for tensor in outputs.values():
            tensor.grad = None
        sum(losses.values()).backward()

    before = peak_memory()
    step()
    extra = (peak_memory() - before) / 2**20
    seconds = best_time(step, args.repeats)
    norms = {name: float(outputs[name].grad.norm()) for name in OUTPUTS if outputs[name].grad is not None}
    return dict(seconds=seconds, extra_mib=extra, values=values, norms=norms)


def compare(args: argparse.Namespace, objects: int, semantic_only: bool = False) -> dict[str, Any]:
    """Run both sides, each in its own process.

    Returns:
        Seconds and extra memory of both and their ratios, the largest relative difference of a term and of a gradient
        norm.
    """
    results = {}
    for side in (Ours, Dense):
        with multiprocessing.get_context('spawn').Pool(1) as pool:
            results[side] = pool.apply(measure, (side, args, objects, semantic_only))
    ours, dense = results[Ours], results[Dense]

    def difference(kind: str) -> float:
        return max(abs(ours[kind][name] / dense[kind][name] - 1) for name in dense[kind])

    return dict(
        terms='semantic' if semantic_only else 'all',
        objects=objects,
        seconds=ours['seconds'],
        seconds_dense=dense['seconds'],
        ratio=dense['seconds'] / ours['seconds'],
        extra_mib=ours['extra_mib'],
        extra_mib_dense=dense['extra_mib'],
        memory_share=ours['extra_mib'] / dense['extra_mib'],
        value_difference=difference('values'),
        gradient_difference=difference('norms'),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures as JSON, a line for each number of objects and one for the semantic terms alone."""
    args = parse_args(argv)
    for objects in args.objects:
        print(json.dumps(compare(args, objects)), flush=True)
    print(json.dumps(compare(args, args.objects[0], semantic_only=True)), flush=True)


if __name__ == '__main__':
    main()
