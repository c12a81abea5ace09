"""Does it fit? One optimisation step of a config: seconds and peak memory of the process.

Example::

    python tools/analysis_tools/measure_step.py CONFIG --batch-size 2 --steps 2
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence

import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmyolor_mtl.registry import MODELS
from mmyolor_mtl.utils.cli import add_common_arguments, load_config, parse_arguments

# Linux counts the peak in kilobytes, macOS in bytes.
_RSS_UNIT = 1 if sys.platform == 'darwin' else 1024


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Train ``args.steps`` batches with the real data, model and optimizer.

    Returns:
        ``seconds`` of the last step, ``peak_memory_gb`` of the process (of the GPU, where there is one), ``loss``.
    """
    cfg = load_config(args)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    loader_cfg = {**cfg.train_dataloader, 'num_workers': 0, 'persistent_workers': False}
    if args.batch_size is not None:
        loader_cfg['batch_size'] = args.batch_size
    loader = Runner.build_dataloader(loader_cfg)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model = model.to('cuda' if torch.cuda.is_available() else 'cpu').train()
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batches = iter(loader)
    for _ in range(args.steps):
        batch = next(batches)
        began = time.perf_counter()
        log = model.train_step(batch, optim_wrapper)
        loss = float(log['loss'])
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated()
    return dict(seconds=round(seconds, 3), peak_memory_gb=round(peak / 2**30, 3), loss=loss)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; the last line of the output is JSON."""
    parser = argparse.ArgumentParser(description='Seconds and peak memory of one optimisation step.')
    parser.add_argument('config', help='config file')
    add_common_arguments(parser)
    parser.add_argument('--batch-size', type=int, help='images a step (default: the config)')
    parser.add_argument('--steps', type=int, default=1, help='steps to take; the last one is timed (%(default)s)')
    args = parse_arguments(parser, argv)
    if args.steps < 1 or (args.batch_size is not None and args.batch_size < 1):
        parser.error('--steps and --batch-size must be at least 1')
    print(json.dumps(measure(args)))


if __name__ == '__main__':
    main()
