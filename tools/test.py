"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmyolor_mtl.utils.cli import (
    NO_TTA,
    add_common_arguments,
    build_runner,
    leave_processes,
    load_config,
    parse_arguments,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; its arguments are those of MMDetection's ``tools/test.py``, and three about the metrics."""
    parser = argparse.ArgumentParser(description='Evaluate a multi-task model on its test set')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--metrics', nargs='+', metavar='NAME', help='only these of the metrics, by prefix: coco, sem, pan, cap'
    )
    parser.add_argument(
        '--per-class', action='store_true', help='also figures of every class, in the log and metrics.json'
    )
    parser.add_argument(
        '--results', metavar='PREFIX', help='also write official result files: PREFIX.bbox.json, PREFIX.panoptic/, ...'
    )
    parser.add_argument('--out', help='also write all predictions into this .pkl file')
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument('--show-dir', help='write pictures of the predictions into this folder of the work folder')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that --show shows a picture')
    parser.add_argument('--tta', action='store_true', help='not supported (says why)')
    add_common_arguments(parser)
    return parser


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with a message about arguments that would fail after the model was built."""
    if args.tta:
        parser.error(NO_TTA)
    if args.out and Path(args.out).suffix not in ('.pkl', '.pickle'):
        parser.error(f'--out {args.out}: the file must end in .pkl or .pickle')
    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        parser.error(f'there is no checkpoint {args.checkpoint}')


def apply_metric_arguments(metrics: list[Any], args: argparse.Namespace) -> list[Any]:
    """Choose metrics, and switch their tables of classes and result files on.

    Raises:
        ValueError: The config has no metric of a name in ``--metrics``.
    """
    if args.metrics:
        known = [metric.prefix for metric in metrics]
        unknown = [name for name in args.metrics if name not in known]
        if unknown:
            raise ValueError(f'--metrics {" ".join(unknown)}: {args.config} has {" ".join(map(str, known))}')
        metrics = [metric for metric in metrics if metric.prefix in args.metrics]
    for metric in metrics:
        if args.per_class and hasattr(metric, 'per_class'):
            metric.per_class = True
        if args.results and hasattr(metric, 'outfile_prefix'):
            metric.outfile_prefix = args.results
    return metrics


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate as the command line says."""
    parser = build_parser()
    args = parse_arguments(parser, arguments)
    check_arguments(parser, args)
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        from mmdet.engine.hooks.utils import trigger_visualization_hook

        cfg = trigger_visualization_hook(cfg, args)
    runner = build_runner(cfg)
    evaluator = runner.test_evaluator
    evaluator.metrics = apply_metric_arguments(evaluator.metrics, args)
    if args.out:
        from mmyolor_mtl.evaluation import DumpMTLResults

        evaluator.metrics.append(DumpMTLResults(out_file_path=args.out))
    runner.test()
    leave_processes()


if __name__ == '__main__':
    main()
