"""Does it fit, and how fast is it? Optimisation steps of a config on its own data: seconds, images/s, memory.

Another place for the data, a vocabulary and a size of the pictures can be given, so that a config for COCO can be
measured on what is at hand.

Example::

    python tools/analysis_tools/measure_step.py CONFIG --batch-size 2 --steps 2
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmyolor_mtl.registry import MODELS
from mmyolor_mtl.utils.benchmark import memory_in_use, peak_memory
from mmyolor_mtl.utils.cli import add_common_arguments, load_config, parse_arguments


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    add_common_arguments(parser)
    parser.add_argument('--batch-size', type=int, help='images a step (default: the config)')
    parser.add_argument('--steps', type=int, default=1, help='steps that are timed; the median counts (%(default)s)')
    parser.add_argument('--warm-up', type=int, default=0, help='steps before them (%(default)s)')
    parser.add_argument('--workers', type=int, default=0, help='processes that load data, 0: this one (%(default)s)')
    parser.add_argument('--data-root', help="folder in place of the config's data_root")
    parser.add_argument('--vocab-file', help='vocabulary in place of those of all tokenizers')
    parser.add_argument('--img-scale', type=int, help="side of the pictures in px in place of the config's img_scale")
    return parser


def adapt_config(cfg: Config, args: argparse.Namespace) -> Config:
    """Put other data, vocabulary and size into a config, wherever it mentions its own."""
    old_root, old_scale = cfg.get('data_root', ''), tuple(cfg.get('img_scale', ()))

    def change(key: str, value: Any) -> Any:
        if args.vocab_file and key == 'vocab_file':
            return args.vocab_file
        if args.data_root and isinstance(value, str) and old_root and value.startswith(old_root):
            return os.path.join(args.data_root, value.removeprefix(old_root))
        if args.img_scale and isinstance(value, tuple | list) and old_scale and tuple(value) == old_scale:
            return (args.img_scale, args.img_scale)
        return value

    return Config(_map_values(cfg.to_dict(), change), filename=cfg.filename)


def _map_values(node: Any, change: Callable[[str, Any], Any], key: str = '') -> Any:
    node = change(key, node)
    if isinstance(node, dict):
        return {name: _map_values(value, change, name) for name, value in node.items()}
    if isinstance(node, list | tuple) and any(isinstance(value, dict | list | tuple) for value in node):
        return type(node)(_map_values(value, change, key) for value in node)
    return node


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Train with the real data, model and optimizer.

    Returns:
        ``seconds`` a step (median), of which ``data_seconds`` were spent waiting for data, and ``cpu_seconds`` that the
        process used, which other load on the machine does not change; ``images_per_second``;
        ``peak_memory_gb`` of the process (of the GPU, where there is one), and ``step_memory_gb``, what of it came
        after the network was built; ``loss`` of the last step; the setting.
    """
    cfg = adapt_config(load_config(args), args)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    MMLogger.get_instance('mmengine', log_level='WARNING')  # not a line for each weight
    torch.manual_seed(0)
    batch_size = args.batch_size or cfg.train_dataloader.batch_size
    workers = dict(num_workers=args.workers, persistent_workers=args.workers > 0, batch_size=batch_size)
    loader = Runner.build_dataloader({**cfg.train_dataloader, **workers}, seed=0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model = model.to('cuda' if torch.cuda.is_available() else 'cpu').train()
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = _memory_now()
    batches = _endless(loader)
    seconds, waits, cpu = [], [], []
    for _ in range(args.warm_up + args.steps):
        began, cpu_began = time.perf_counter(), time.process_time()
        batch = next(batches)
        waits.append(time.perf_counter() - began)
        loss = model.train_step(batch, optim_wrapper)['loss'].item()
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - cpu_began)
    step, wait, used = (statistics.median(values[args.warm_up :]) for values in (seconds, waits, cpu))
    peak = _peak_memory()
    return dict(
        seconds=round(step, 3),
        data_seconds=round(wait, 3),
        cpu_seconds=round(used, 3),
        images_per_second=round(batch_size / step, 2),
        peak_memory_gb=round(peak, 3),
        step_memory_gb=round(peak - before, 6),
        loss=loss,
        batch_size=batch_size,
        workers=args.workers,
        threads=torch.get_num_threads(),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu',
        malloc='keep' if os.environ.get('MALLOC_TRIM_THRESHOLD_') else 'default',
    )


def _endless(loader: Any) -> Any:
    while True:
        yield from loader


def _memory_now() -> float:
    """Memory in use, of the GPU where there is one, in GiB."""
    return (torch.cuda.memory_allocated() if torch.cuda.is_available() else memory_in_use()) / 2**30


def _peak_memory() -> float:
    """Highest memory of the process so far, of the GPU where there is one, in GiB."""
    return (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_memory()) / 2**30


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; the last line of the output is JSON."""
    parser = build_parser()
    args = parse_arguments(parser, argv)
    if args.steps < 1 or args.warm_up < 0 or args.workers < 0 or (args.batch_size is not None and args.batch_size < 1):
        parser.error('--steps and --batch-size must be at least 1, --warm-up and --workers at least 0')
    print(json.dumps(measure(args)))


if __name__ == '__main__':
    main()
