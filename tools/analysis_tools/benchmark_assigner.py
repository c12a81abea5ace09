"""Task-aligned assignment of a whole batch at once, against mmdet's assigner image by image.

Both see the same random predictions and objects and take ten candidates an object; the times are of one run on one
machine. They do not assign alike: mmdet aligns by IoU, the reference by complete IoU.

Example::

    python tools/analysis_tools/benchmark_assigner.py --objects 10 100
"""

import argparse
import json
from collections.abc import Sequence

import torch
from mmdet.models.task_modules.assigners import TaskAlignedAssigner
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmyolor_mtl.models.task_modules import BatchedTaskAlignedAssigner, anchor_points
from mmyolor_mtl.utils.benchmark import best_time, random_boxes

STRIDES = (8, 16, 32)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=640, help='input size in px, a multiple of 32 (default: 640)')
    parser.add_argument('--batch', type=int, default=8, help='images (default: 8)')
    parser.add_argument('--objects', type=int, nargs='+', default=[10, 100], help='objects an image (default: 10 100)')
    parser.add_argument('--classes', type=int, default=80, help='classes (default: 80)')
    parser.add_argument('--repeats', type=int, default=5, help='timed runs, the fastest counts (default: 5)')
    parser.add_argument('--device', default='cpu', help='torch device (default: cpu)')
    args = parser.parse_args(argv)
    if args.size % 32 or args.size < 32:
        parser.error(f'--size {args.size} must be a multiple of 32')
    return args


@torch.no_grad()
def run(args: argparse.Namespace, objects: int) -> dict[str, float]:
    """Time both with ``objects`` objects an image.

    Returns:
        Milliseconds a batch of both, their ratio, and the positives each found in an image on average.
    """
    torch.manual_seed(0)
    device, batch = args.device, args.batch
    sizes = [(args.size // stride,) * 2 for stride in STRIDES]
    levels = [(*size, stride) for size, stride in zip(sizes, STRIDES, strict=True)]
    points, stride = anchor_points(sizes, STRIDES, torch.zeros(1, device=device))
    boxes = torch.cat([points, points], 1) + torch.randn(batch, len(points), 4, device=device) * stride
    boxes = torch.cat([boxes[..., :2] - 2 * stride, boxes[..., 2:] + 2 * stride], dim=-1)
    scores = torch.rand(batch, len(points), args.classes, device=device) ** 4
    gt_boxes = torch.stack([random_boxes(objects, args.size) for _ in range(batch)]).to(device)
    gt_labels = torch.randint(0, args.classes, (batch, objects), device=device)
    valid = torch.ones_like(gt_labels, dtype=torch.bool)

    ours = BatchedTaskAlignedAssigner(topk=10)
    theirs = TaskAlignedAssigner(topk=10)
    priors = torch.cat([points, stride, stride], dim=1)

    def batched() -> float:
        found = ours.assign(scores, boxes, levels, gt_labels, gt_boxes, valid)
        return float(found.foreground.sum()) / batch

    def image_by_image() -> float:
        positives = 0.0
        for i in range(batch):
            predicted = InstanceData(priors=priors, bboxes=boxes[i], scores=scores[i])
            objects_of_image = InstanceData(bboxes=gt_boxes[i], labels=gt_labels[i])
            positives += float((theirs.assign(predicted, objects_of_image).gt_inds > 0).sum())
        return positives / batch

    fast, slow = (best_time(function, args.repeats, device) for function in (batched, image_by_image))
    return dict(
        objects=objects,
        ms_batched=1000 * fast,
        ms_image_by_image=1000 * slow,
        ratio=slow / fast,
        positives_batched=batched(),
        positives_image_by_image=image_by_image(),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures as JSON, a line for each number of objects."""
    args = parse_args(argv)
    init_default_scope('mmdet')
    for objects in args.objects:
        print(json.dumps(run(args, objects)))


if __name__ == '__main__':
    main()
