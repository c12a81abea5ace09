r"""Turn a checkpoint of this package into a state dict that the reference implementations load.

Example::

    python tools/model_converters/mmyolor_to_reference.py work_dirs/x/epoch_300.pth gelan-c-pan.pt \
        --config configs/reference/gelan-c-pan.py

In the reference: ``model.load_state_dict(torch.load('gelan-c-pan.pt'))``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import _load_checkpoint

from mmyolor_mtl.models.reference import to_reference
from mmyolor_mtl.registry import MODELS
from mmyolor_mtl.utils.compat import check_stack, register_safe_globals
from mmyolor_mtl.utils.files import save_whole


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Convert a checkpoint of this package to the reference.')
    parser.add_argument('src', help='checkpoint of this package')
    parser.add_argument('dst', help='state dict to write')
    parser.add_argument('--config', required=True, help='config of the network')
    args = parser.parse_args(argv)
    for path in (args.src, args.config):
        if not Path(path).is_file():
            parser.error(f'there is no file {path}')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    args = parse_args(argv)
    check_stack(strict=True)
    register_safe_globals()
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model = MODELS.build(cfg.model)
    try:
        checkpoint = _load_checkpoint(args.src, map_location='cpu')
        model.load_state_dict(checkpoint.get('state_dict', checkpoint))
        state = to_reference(model)
    except (RuntimeError, ValueError, EOFError) as error:
        sys.exit(f'error: {args.src} is not converted with {args.config}: {error}')
    save_whole(state, args.dst)
    print(f'{args.dst}: {len(state)} tensors of {args.src}')


if __name__ == '__main__':
    main()
