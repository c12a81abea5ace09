"""Parameters and operations of a config's network, without its data set: ``get_flops.py CONFIG``.

MMDetection's tool of this name works as well, but takes its picture from the validation set. This one needs no more
than the config, and where that has captions the vocabulary; ``--cfg-options model.heads.cap.tokenizer=None`` takes the
config's ``vocab_size`` instead.
"""

import argparse
from collections.abc import Sequence

from mmengine.config import Config, DictAction

from mmyolor_mtl.utils.cli import CFG_OPTIONS_HELP
from mmyolor_mtl.utils.compat import check_stack
from mmyolor_mtl.utils.complexity import network_cost
from mmyolor_mtl.utils.content import content_root, find_config


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(description="Count parameters and operations of a config's network")
    parser.add_argument('config', help='config file, or the name of a config that comes with the package')
    parser.add_argument(
        '--shape', nargs=2, type=int, metavar=('WIDTH', 'HEIGHT'), help="picture, px (default: the config's img_scale)"
    )
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help=CFG_OPTIONS_HELP)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the network's costs while training and in deploy form."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.shape and any(side < 32 or side % 32 for side in args.shape):
        parser.error(f'--shape {args.shape[0]} {args.shape[1]}: both must be multiples of 32')
    check_stack(strict=True)
    try:
        cfg = Config.fromfile(find_config(content_root(), args.config))
        cfg.merge_from_dict(args.cfg_options or {})
        if args.shape:
            cfg.img_scale = tuple(args.shape)
        costs = {'as trained': network_cost(cfg), 'deploy form': network_cost(cfg, deploy=True)}
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print('{} x {} px, a multiplication and an addition are two operations'.format(*cfg.img_scale))
    for form, cost in costs.items():
        print(f'{form}: {cost["parameters"]:,} parameters, {cost["gflops"]:.4g} GFLOPs')


if __name__ == '__main__':
    main()
