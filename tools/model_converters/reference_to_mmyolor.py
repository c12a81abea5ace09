r"""Turn a checkpoint of the reference implementations into one of this package.

The source is a file as released (whole modules, FP16, with or without averaged weights, fused or not) or a plain state
dict. Nothing in it is executed.

Example::

    python tools/model_converters/reference_to_mmyolor.py gelan-c-pan.pt gelan-c-pan.pth \
        --config configs/reference/gelan-c-pan.py
    python tools/model_converters/reference_to_mmyolor.py gelan-c-pan.pt --inspect
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from mmyolor_mtl.models.reference import from_reference, read_checkpoint
from mmyolor_mtl.registry import DATASETS, MODELS
from mmyolor_mtl.utils.compat import check_stack
from mmyolor_mtl.utils.files import save_whole
from mmyolor_mtl.version import __version__


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Convert a checkpoint of the reference to this package.')
    parser.add_argument('src', help='checkpoint of the reference')
    parser.add_argument('dst', nargs='?', help='checkpoint to write')
    parser.add_argument('--config', help='config of the network, such as configs/reference/gelan-c-pan.py')
    parser.add_argument('--inspect', action='store_true', help='print what the source holds, write nothing')
    args = parser.parse_args(argv)
    if not args.inspect and not (args.dst and args.config):
        parser.error('name the checkpoint to write and --config, or ask for --inspect')
    if args.config and not Path(args.config).is_file():
        parser.error(f'there is no config {args.config}')
    return args


def layout(state: dict[str, Tensor], module: Any) -> str:
    """One line for each layer: its number, class, tensors, parameters."""
    layers: dict[str, list[Tensor]] = {}
    for key, value in state.items():
        layers.setdefault('.'.join(key.split('.')[:2]), []).append(value)
    children = getattr(getattr(module, '_modules', {}).get('model'), '_modules', {})
    lines = [f'{"layer":<12}{"class":<20}{"tensors":>8}{"parameters":>14}']
    for name, tensors in layers.items():
        kind = type(children[name.split('.')[1]]).__name__ if name.split('.')[-1] in children else '-'
        # Statistics of the norms are counted as well: a state dict does not tell them from parameters.
        lines.append(f'{name:<12}{kind:<20}{len(tensors):>8}{sum(t.numel() for t in tensors):>14,}')
    total = sum(t.numel() for t in state.values())
    lines.append(f'{"all":<12}{"":<20}{len(state):>8}{total:>14,}')
    return '\n'.join(lines)


def convert(args: argparse.Namespace) -> None:
    """Read, translate, write; the file appears complete or not at all."""
    state, _ = read_checkpoint(args.src)
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    try:
        converted = from_reference(state, MODELS.build(cfg.model))
    except ValueError as error:
        raise ValueError(f'{args.src} is not converted with {args.config}: {error}') from error
    metainfo = DATASETS.build({**cfg.test_dataloader.dataset, 'lazy_init': True}).metainfo
    meta = dict(mmyolor_mtl_version=__version__, source=Path(args.src).name, cfg=cfg.pretty_text, dataset_meta=metainfo)
    save_whole(dict(meta=meta, state_dict=converted), args.dst)
    print(f'{args.dst}: {len(converted)} tensors of {args.src}')


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = parse_args(argv)
    check_stack(strict=True)
    try:
        if args.inspect:
            print(layout(*read_checkpoint(args.src)))
        else:
            convert(args)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
