"""From a picture's file to all its results: PyTorch against exported networks, in the same run.

Every runtime gets the same pictures, in turns, one at a time; the median of all turns counts. The network is exported
for the purpose. Without a checkpoint it has random weights that find something in every picture, see
:mod:`mmyolor_mtl.utils.lively`; captions then have their full length.

Example::

    python tools/analysis_tools/benchmark_deploy.py CONFIG photos/ --checkpoint CHECKPOINT
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmyolor_mtl.deploy import OnnxInferencer
from mmyolor_mtl.registry import MODELS
from mmyolor_mtl.structures import MTLResult
from mmyolor_mtl.utils import register_all_modules
from mmyolor_mtl.utils.letterbox import letterbox
from mmyolor_mtl.utils.lively import make_lively

# Name -> runtime and precision.
RUNTIMES = {
    'onnxruntime': ('onnxruntime', 'fp32'),
    'openvino': ('openvino', 'fp32'),
    'openvino-bf16': ('openvino', 'bf16'),
}
EAGER = 'pytorch'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('images', help='picture or folder')
    parser.add_argument('--checkpoint', help='checkpoint file (default: random weights)')
    parser.add_argument('--size', type=int, help="side of the square input in px (default: the config's input)")
    parser.add_argument('--runtimes', nargs='+', choices=sorted(RUNTIMES), default=list(RUNTIMES), help='default: all')
    parser.add_argument('--max-images', type=int, default=4, help='pictures to use (default: 4)')
    parser.add_argument('--repeats', type=int, default=5, help='turns (default: 5)')
    parser.add_argument('--threads', type=int, default=1, help='threads of every runtime (default: 1)')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score of objects (default: 0.3)')
    args = parser.parse_args(argv)
    if args.size is not None and (args.size % 32 or args.size < 64):
        parser.error(f'--size {args.size} must be a multiple of 32 from 64 on')
    for name in ('max_images', 'repeats', 'threads'):
        if getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1')
    return args


def load_config(args: argparse.Namespace) -> Config:
    """Config of the network; with random weights it needs none of the files that its training needs."""
    cfg = Config.fromfile(args.config)
    for step in cfg.test_dataloader.dataset.pipeline:
        if args.size is not None and step['type'].rpartition('.')[2] == 'Letterbox':
            step['scale'] = (args.size, args.size)
    if args.checkpoint is None:
        for part in ('backbone', 'neck'):
            cfg.model[part].pop('init_cfg', None)
        if 'cap' in cfg.model.heads:
            head = cfg.model.heads.cap
            words = head.get('vocab_size') or 1000
            tokens = ['[PAD]', '[UNK]', '[BOS]', '[EOS]', *(f'word{i}' for i in range(4, words))]
            # By item: an update would merge the two tokenizers.
            head['tokenizer'], head['vocab_size'] = dict(type='mmyolor_mtl.WordTokenizer', tokens=tokens), words
    return cfg


def random_checkpoint(cfg: Config, files: Sequence[Path], folder: Path) -> Path:
    """Checkpoint with weights that find something in these pictures."""
    init_default_scope('mmdet')
    torch.manual_seed(0)
    network = MODELS.build(cfg.model)
    network.init_weights()
    scale = next(
        step['scale'] for step in cfg.test_dataloader.dataset.pipeline if step['type'].rpartition('.')[2] == 'Letterbox'
    )
    pictures = [letterbox(cv2.imread(str(file)), scale).pixels[..., ::-1] for file in files[:2]]
    make_lively(network, torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255)
    path = folder / 'random.pth'
    torch.save({'state_dict': network.state_dict(), 'meta': {}}, path)
    return path


def take_turns(
    runs: dict[str, Callable[[Path], MTLResult]], files: Sequence[Path], repeats: int
) -> dict[str, list[float]]:
    """Seconds of each run on each picture, all runs one after the other on the same picture."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for file in files:
            for name, run in runs.items():
                begin = time.perf_counter()
                run(file)
                if turn:  # the first shows every runtime the sizes of the pictures
                    times[name].append(time.perf_counter() - begin)
    return times


def agreement(expected: MTLResult, found: MTLResult) -> dict[str, Any]:
    """How far results are the same."""
    out: dict[str, Any] = {'objects': [len(expected.scores), len(found.scores)]}
    if expected.sem_seg is not None and found.sem_seg is not None:
        out['semantic'] = float((expected.sem_seg == found.sem_seg).mean())
    if expected.caption is not None:
        out['caption'] = expected.caption == found.caption
    return out


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Print milliseconds a picture, the ratio to PyTorch, and a JSON line; return what that line holds."""
    args = parse_args(argv)
    register_all_modules()
    from mmyolor_mtl.apis import MTLInferencer
    from mmyolor_mtl.deploy.export import export_onnx
    from mmyolor_mtl.deploy.images import list_inputs

    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    files = [Path(str(file)) for file in list_inputs(args.images)[: args.max_images]]
    cfg = load_config(args)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = args.checkpoint or random_checkpoint(cfg, files, Path(folder))
        eager = MTLInferencer(cfg, checkpoint)
        exported = export_onnx(eager, Path(folder) / 'network')
        runs: dict[str, Callable[[Path], MTLResult]] = {EAGER: lambda file: eager(file, score_thr=args.score_thr)[0]}
        for name in args.runtimes:
            runtime, precision = RUNTIMES[name]
            try:
                network = OnnxInferencer(exported, runtime, threads=args.threads, precision=precision)
            except (ImportError, ValueError) as error:
                print(f'{name} is left out: {error}')
                continue
            runs[name] = lambda file, network=network: network(file, score_thr=args.score_thr)[0]  # type: ignore[misc]
        times = take_turns(runs, files, args.repeats)
        same = {name: [agreement(runs[EAGER](file), run(file)) for file in files] for name, run in runs.items()}
    report: dict[str, Any] = {'threads': args.threads, 'images': len(files), 'runs': {}}
    for name, seconds in times.items():
        median = statistics.median(seconds)
        report['runs'][name] = {
            'ms': round(1000 * median, 1),
            'ratio': round(statistics.median(times[EAGER]) / median, 2),
            **_summary(same[name]),
        }
        line = '  '.join(f'{key} {value}' for key, value in report['runs'][name].items())
        print(f'{name:14} {line}')
    print(json.dumps(report))
    return report


def _summary(same: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Agreement over all pictures: objects of both, the share of equal pixels, the share of equal captions."""
    out: dict[str, Any] = {'objects': ' / '.join(str(sum(one['objects'][i] for one in same)) for i in (0, 1))}
    for key in ('semantic', 'caption'):
        if key in same[0]:
            out[key] = round(float(np.mean([one[key] for one in same])), 5)
    return out


if __name__ == '__main__':
    main()
