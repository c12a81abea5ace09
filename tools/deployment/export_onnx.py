"""Export a trained network to ONNX: ``python tools/deployment/export_onnx.py CONFIG CHECKPOINT --out-dir DIR``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction

from mmyolor_mtl.utils import register_all_modules
from mmyolor_mtl.utils.cli import CFG_OPTIONS_HELP


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(description='Export a trained network to ONNX')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out-dir', required=True, help='folder for vision.onnx, caption.onnx and network.json')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help=CFG_OPTIONS_HELP)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if Path(args.out_dir).is_file():
        parser.error(f'--out-dir {args.out_dir} is a file: give a folder')
    register_all_modules()
    from mmyolor_mtl.apis import MTLInferencer
    from mmyolor_mtl.deploy.export import ExportError, export_onnx, require_packages

    try:
        require_packages()
        inferencer = MTLInferencer(args.config, args.checkpoint, cfg_options=args.cfg_options)
        folder = export_onnx(inferencer, args.out_dir)
    except (ExportError, FileNotFoundError, ImportError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    for file in sorted(folder.iterdir()):
        print(f'{file} ({file.stat().st_size / 2**20:.1f} MiB)')


if __name__ == '__main__':
    main()
