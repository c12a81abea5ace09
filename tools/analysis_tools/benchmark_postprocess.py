"""What turning a network's outputs into results costs, against its forward pass in the same run.

One picture with many objects: the outputs are made up so that every object fires a dozen anchors among thousands of
weak ones, and the semantic map has a dozen regions (``--semantic clear``) or is noise in which every class wins
somewhere (``--semantic noise``, the worst case). The times are those of the heads' own ``predict`` with these outputs:
NMS, masks, semantic map, panoptic merge; each the median of some runs, taken in turns with the forward pass.

Example::

    python tools/analysis_tools/benchmark_postprocess.py CONFIG --objects 100
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch import Tensor

from mmyolor_mtl.models.task_modules import anchor_points
from mmyolor_mtl.registry import MODELS
from mmyolor_mtl.utils import register_all_modules
from mmyolor_mtl.utils.benchmark import now, random_boxes

ANCHORS_AN_OBJECT = 12


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='network with boxes, masks and a semantic map')
    parser.add_argument('--size', type=int, default=640, help='input size in px, a multiple of 32 (default: 640)')
    parser.add_argument('--image', type=int, nargs=2, default=[480, 640], help='picture, height and width (480 640)')
    parser.add_argument('--objects', type=int, default=100, help='objects in the picture (default: 100)')
    parser.add_argument('--kept', type=int, help='most detections after NMS (default: as many as objects)')
    parser.add_argument('--semantic', choices=['clear', 'noise'], default='clear', help='the logits (default: clear)')
    parser.add_argument('--repeats', type=int, default=7, help='timed runs, the median counts (default: 7)')
    parser.add_argument('--device', default='cpu', help='torch device (default: cpu)')
    args = parser.parse_args(argv)
    if args.size % 32 or args.size < 32:
        parser.error(f'--size {args.size} must be a multiple of 32')
    return args


def build_network(args: argparse.Namespace) -> Any:
    """The network of the config with random weights; captions need no vocabulary file here."""
    cfg = Config.fromfile(args.config)
    if 'cap' in cfg.model.heads:
        cap = cfg.model.heads.cap
        cap.update(tokenizer=None, vocab_size=cap.get('vocab_size') or 1000)
    missing = {'det', 'ins', 'sem'} - set(cfg.model.heads)
    if missing:
        raise SystemExit(f'{args.config} has no head for {sorted(missing)}, which this benchmark times')
    return MODELS.build(cfg.model).to(args.device).eval()


def made_up_outputs(network: Any, args: argparse.Namespace) -> tuple[dict[str, Tensor], DetDataSample]:
    """Outputs of a network that has found ``args.objects`` objects in a picture, and the picture's sample."""
    torch.manual_seed(0)
    size, (height, width) = args.size, args.image
    scale = size / max(height, width)
    rows, columns = round(height * scale), round(width * scale)
    top, left = (size - rows) // 2, (size - columns) // 2
    sample = DetDataSample(
        metainfo=dict(
            ori_shape=(height, width),
            img_shape=(size, size),
            scale_factor=(columns / width, rows / height),
            pad_param=(top, size - rows - top, left, size - columns - left),
        )
    )
    outputs = {**_detections(network.heads['det'], args), **_prototypes(network.heads['ins'], args)}
    classes, cells = network.heads['sem'].num_classes, size // network.heads['sem'].out_stride
    logits = torch.randn(1, classes, cells, cells)
    if args.semantic == 'clear':
        # A dozen classes in large regions, the others well below.
        regions = F.interpolate(torch.randn(1, 12, 6, 6), (cells, cells), mode='bicubic')
        logits = 0.3 * logits - 8
        logits[:, torch.randperm(classes)[:12]] += 8 + 6 * regions
    outputs['sem_logits'] = logits
    return {name: value.to(args.device) for name, value in outputs.items()}, sample


def _detections(head: Any, args: argparse.Namespace) -> dict[str, Tensor]:
    sizes = [(args.size // stride,) * 2 for stride in head.strides]
    points, stride = anchor_points(sizes, head.strides, torch.zeros(1))
    logits = torch.randn(len(points), head.num_classes) * 1.2 - 10
    bins = torch.arange(head.reg_max)
    dists = torch.zeros(len(points), 4, head.reg_max)
    for box in random_boxes(args.objects, args.size):
        # The anchors of the fitting level that lie nearest to the middle of the object.
        level = stride[:, 0] == min(head.strides, key=lambda step: abs(float((box[2:] - box[:2]).max()) / 8 - step))
        away = (points - (box[:2] + box[2:]) / 2).norm(dim=1).masked_fill(~level, float('inf'))
        near = away.topk(ANCHORS_AN_OBJECT, largest=False).indices
        logits[near, torch.randint(head.num_classes, (1,))] = torch.randn(ANCHORS_AN_OBJECT) + 1
        sides = torch.cat([points[near] - box[:2], box[2:] - points[near]], dim=1) / stride[near]
        sides = (sides + 0.1 * torch.randn_like(sides)).clamp(0, head.reg_max - 1.01)
        dists[near] = (1 - (bins - sides[..., None]).abs()).clamp(min=1e-4).log()
    return dict(cls_logits=logits[None], box_dists=dists.flatten(1)[None])


def _prototypes(head: Any, args: argparse.Namespace) -> dict[str, Tensor]:
    cells = args.size // head.mask_stride
    protos = F.interpolate(torch.randn(1, 32, 20, 20), (cells, cells), mode='bicubic')
    protos[:, 0] = 2  # most of a box belongs to its object
    coefs = 0.3 * torch.randn(1, sum((args.size // stride) ** 2 for stride in (8, 16, 32)), 32)
    coefs[..., 0] = 1
    return dict(mask_coefs=coefs, mask_protos=protos)


def steps(network: Any, outputs: dict[str, Tensor], sample: DetDataSample, kept: int) -> dict[str, Callable[[], None]]:
    """The parts of ``network.predict`` that follow the forward pass, to be run in this order."""
    shared: dict[str, Any] = {}
    heads = deepcopy(network.vision_heads)
    heads['det'].test_cfg['max_per_img'] = kept
    for head in heads.values():
        head.forward = lambda feats: outputs
    protos = outputs['mask_protos']
    # Of the features the heads look at the sizes of the levels only.
    pixels = protos.shape[2] * heads['ins'].mask_stride
    feats = [protos.new_empty(1, 1, pixels // stride, pixels // stride) for stride in heads['det'].strides]
    return dict(
        nms=lambda: heads['det'].predict(feats, [sample], shared),
        masks=lambda: heads['ins'].predict(feats, [sample], shared),
        semantic=lambda: heads['sem'].predict(feats, [sample], shared),
        panoptic=lambda: network.predict_panoptic([sample], shared),
    )


@torch.no_grad()
def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time forward pass and post-processing in turns.

    Returns:
        dict: The setting, milliseconds of the forward pass and of each step (medians), objects kept, and ``share``, the
        sum of the steps over the forward pass.
    """
    network = build_network(args)
    outputs, sample = made_up_outputs(network, args)
    picture = torch.rand(1, 3, args.size, args.size, device=args.device)
    functions = {'forward': lambda: network(picture), **steps(network, outputs, sample, args.kept or args.objects)}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(args.repeats + 1):  # the first round is not counted
        for name, function in functions.items():
            begin = now(args.device)
            function()
            times[name].append(1000 * (now(args.device) - begin))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    after = sum(value for name, value in medians.items() if name != 'forward')
    return dict(
        size=args.size,
        image=args.image,
        semantic=args.semantic,
        threads=torch.get_num_threads(),
        objects=args.objects,
        kept=len(sample.pred_instances),
        segments=len(sample.pred_panoptic_seg.sem_seg.unique()),
        **{f'ms_{name}': round(value, 1) for name, value in medians.items()},
        ms_after=round(after, 1),
        share=after / medians['forward'],
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures as JSON."""
    args = parse_args(argv)
    register_all_modules()
    print(json.dumps(run(args)))


if __name__ == '__main__':
    main()
