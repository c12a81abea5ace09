"""What the demos that run a trained network share."""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from mmyolor_mtl.utils.compat import check_stack

from .inferencer import MTLInferencer

_TASKS = ('det', 'ins', 'sem', 'cap', 'pan')
_CHECKPOINTS = ('.pth', '.pt', '.pth.tar')


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add config and checkpoint, and how to run them."""
    parser.add_argument(
        'model', metavar='CONFIG|CHECKPOINT', help='config of the network, or its checkpoint, which carries the config'
    )
    parser.add_argument('checkpoint', nargs='?', help='its trained weights, behind a config')
    parser.add_argument(
        '--device', default='auto', help='cpu, cuda:0, ..., or auto: a GPU if there is one (%(default)s)'
    )
    parser.add_argument('--half', action='store_true', help='half precision: float16 on GPUs, bfloat16 on CPUs')
    parser.add_argument('--tasks', nargs='+', choices=_TASKS, help='run these tasks alone (default: all)')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score of objects (%(default)s)')
    parser.add_argument('--batch-size', type=int, default=1, help='images a forward pass (%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='changes to the config, key=value')


def check_model_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the program where arguments make no sense; a lone checkpoint moves to its place."""
    if args.batch_size < 1:
        parser.error(f'--batch-size {args.batch_size} must be at least 1')
    if not 0 <= args.score_thr <= 1:
        parser.error(f'--score-thr {args.score_thr} must be in [0, 1]')
    if args.checkpoint is None:
        if not args.model.endswith(_CHECKPOINTS):
            parser.error(f'{args.model} is no checkpoint ({", ".join(_CHECKPOINTS)}): give one behind the config')
        args.model, args.checkpoint = None, args.model


def build_inferencer(args: argparse.Namespace) -> MTLInferencer:
    """The network of a command line.

    Raises:
        FileNotFoundError: The config or the checkpoint does not exist.
        ValueError: They do not fit each other, or the device does not exist.
    """
    check_stack(strict=True)
    # Before the network is built, which takes longer.
    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint {args.checkpoint} does not exist')
    return MTLInferencer(args.model, args.checkpoint, args.device, cfg_options=args.cfg_options, half=args.half)
