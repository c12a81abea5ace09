"""Train a model: ``python tools/train.py CONFIG``."""

import argparse
from collections.abc import Sequence

from mmengine.config import Config

from mmyolor_mtl.engine import dry_run
from mmyolor_mtl.utils.cli import add_common_arguments, build_runner, leave_processes, load_config, parse_arguments
from mmyolor_mtl.utils.memory import out_of_memory_advice


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; its arguments are those of MMDetection's ``tools/train.py``."""
    parser = argparse.ArgumentParser(description='Train a multi-task model')
    parser.add_argument('config', help='config file')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate to the batch by the config's auto_scale_lr",
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from this checkpoint, or without a value from the latest one in the work folder',
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='train and evaluate one batch in a temporary folder, then stop: finds what would fail hours later',
    )
    add_common_arguments(parser)
    return parser


def apply_training_arguments(cfg: Config, args: argparse.Namespace) -> None:
    """Write ``--amp``, ``--auto-scale-lr`` and ``--resume`` into the config.

    Raises:
        ValueError: if the config has no ``auto_scale_lr`` to switch on.
    """
    if args.amp and 'Amp' not in str(cfg.optim_wrapper.get('type')):  # a config may have chosen its own precision
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    if args.auto_scale_lr:
        missing = {'enable', 'base_batch_size'} - set(cfg.get('auto_scale_lr') or {})
        if missing:
            raise ValueError(
                f'--auto-scale-lr: {args.config} lacks {", ".join(f"auto_scale_lr.{key}" for key in sorted(missing))}; '
                'add auto_scale_lr = dict(enable=False, base_batch_size=<images per step that lr is meant for>)'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse_arguments(build_parser(), arguments)
    cfg = load_config(args)
    apply_training_arguments(cfg, args)
    with out_of_memory_advice(cfg):
        if args.dry_run:
            dry_run(cfg)
        else:
            build_runner(cfg).train()
    leave_processes()


if __name__ == '__main__':
    main()
