"""The whole job on drawn scenes: data, joint training of four tasks, evaluation, pictures, a page to look at.

Example:
    python demo/shapes_demo.py                 # about ten minutes on two cores
    python demo/shapes_demo.py --resume        # go on after an interruption
    python demo/shapes_demo.py --keep          # only evaluate and draw again
"""

import argparse
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, DictAction

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/shapes/yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train all four tasks on drawn scenes, evaluate, show.')
    parser.add_argument('--config', default=str(ROOT / CONFIG), help=f'config to train (default: {CONFIG})')
    parser.add_argument('--data', default='data/shapes', help='folder of the scenes (%(default)s)')
    parser.add_argument('--work-dir', default='work_dirs/demo', help='folder for everything that is made (%(default)s)')
    parser.add_argument('--train', type=int, default=3500, help='training scenes (%(default)s)')
    parser.add_argument('--val', type=int, default=200, help='unseen scenes (%(default)s)')
    parser.add_argument('--size', type=int, default=192, help='side of the scenes in px (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the scenes (%(default)s)')
    parser.add_argument('--pictures', type=int, default=12, help='scenes to show (%(default)s)')
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument('--resume', action='store_true', help='go on with an interrupted training')
    mode.add_argument('--keep', action='store_true', help='take the network that is there, do not train')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='changes to the config, key=value')
    args = parser.parse_args(argv)
    args.launcher = 'none'
    if not Path(args.config).is_file():
        parser.error(f'there is no config {args.config}')
    if args.pictures < 1:
        parser.error(f'--pictures {args.pictures} must be at least 1')
    return args


def prepare_data(args: argparse.Namespace) -> None:
    """Draw the scenes, unless the same ones are there.

    Raises:
        FileExistsError: The folder holds something else than drawn scenes.
    """
    from mmyolor_mtl.datasets.shapes.writer import MARKER, VERSION, write_shapes

    wanted = {
        'version': VERSION,
        'seed': args.seed,
        'width': args.size,
        'height': args.size,
        'train': args.train,
        'val': args.val,
    }
    marker = Path(args.data) / MARKER
    if marker.is_file() and json.loads(marker.read_text(encoding='utf-8')) == wanted:
        print(f'scenes: {args.data} is up to date', flush=True)
        return
    print(f'scenes: drawing {args.train} to train on and {args.val} unseen ones into {args.data}', flush=True)
    workers = max(1, min(os.cpu_count() or 1, (args.train + args.val) // 100))
    write_shapes(args.data, args.train, args.val, args.size, args.seed, workers=workers, overwrite=True)


def prepare_config(args: argparse.Namespace) -> Config:
    """The config with its data in ``--data``."""
    from mmyolor_mtl.utils.cli import load_config

    cfg = load_config(args)
    move_data(cfg, str(cfg.get('data_root', 'data/shapes/')), f'{Path(args.data).as_posix()}/')
    return cfg


def move_data(node: Any, old: str, new: str) -> Any:
    """Replace the folder ``old`` by ``new`` at the start of every text of a config, in place."""
    if isinstance(node, dict | Config):
        for key, value in list(node.items()):
            node[key] = move_data(value, old, new)
    elif isinstance(node, list | tuple):
        return type(node)(move_data(value, old, new) for value in node)
    elif isinstance(node, str) and node.startswith(old):
        return new + node[len(old) :]
    return node


def clear(work_dir: Path) -> None:
    """Remove what an earlier demo left, and nothing else."""
    for pattern in ('epoch_*.pth', 'best_*.pth', 'last_checkpoint', 'metrics.json', 'index.html', 'curves.png'):
        for file in work_dir.glob(pattern):
            file.unlink()
    for folder in work_dir.iterdir() if work_dir.is_dir() else ():
        if folder.name == 'pictures' or re.fullmatch(r'\d{8}_\d{6}', folder.name):
            shutil.rmtree(folder)


def train(cfg: Config, args: argparse.Namespace) -> None:
    """Train, from the start or from the last checkpoint."""
    from mmyolor_mtl.utils.cli import build_runner

    if args.resume:
        cfg.resume = True
    else:
        clear(Path(cfg.work_dir))
    build_runner(cfg).train()
    cfg.resume = False


def evaluate(cfg: Config, checkpoint: str) -> dict[str, Any]:
    """Figures on the unseen scenes; those of the last training epoch where it was evaluated."""
    from mmyolor_mtl.utils.cli import build_runner

    file = Path(cfg.work_dir) / 'metrics.json'
    figures = json.loads(file.read_text(encoding='utf-8')) if file.is_file() else {}
    if figures.get('epoch') != cfg.train_cfg.max_epochs:
        test = Config(cfg.to_dict())
        test.load_from = checkpoint
        build_runner(test).test()
        figures = json.loads(file.read_text(encoding='utf-8'))
        figures['epoch'] = cfg.train_cfg.max_epochs
    return figures


def draw(cfg: Config, checkpoint: str, number: int) -> list[Any]:
    """Draw unseen scenes, ground truth beside prediction.

    Returns:
        list[ReportScene]: A card for each.
    """
    import mmcv
    from mmengine.dataset import pseudo_collate

    from mmyolor_mtl.apis import MTLInferencer
    from mmyolor_mtl.registry import DATASETS
    from mmyolor_mtl.visualization.report import ReportScene

    inferencer = MTLInferencer(cfg, checkpoint)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    folder = Path(cfg.work_dir) / 'pictures'
    scenes = []
    for index in np.unique(np.linspace(0, len(dataset) - 1, number).astype(int)):
        sample = inferencer.model.test_step(pseudo_collate([dataset[int(index)]]))[0].cpu()
        image = mmcv.imread(sample.img_path, channel_order='rgb')
        name = Path(sample.img_path).stem
        picture = folder / f'{name}.png'
        inferencer.visualizer.add_datasample(name, image, sample, out_file=str(picture))
        caption = sample.get('pred_caption', None)
        scenes.append(ReportScene(name, picture, caption, list(sample.get('gt_captions', None) or ())))
    return scenes


def show(cfg: Config, args: argparse.Namespace, checkpoint: str, figures: dict[str, Any], began: float) -> Path:
    """Pictures, curves, ``metrics.json`` and the page.

    Returns:
        Path: The page.
    """
    from mmyolor_mtl.engine.hooks.eval_table_hook import write_json
    from mmyolor_mtl.visualization.report import plot_curves, read_scalars, write_report

    work_dir = Path(cfg.work_dir)
    scenes = draw(cfg, checkpoint, args.pictures)
    curves = work_dir / 'curves.png'
    drawn = plot_curves(read_scalars(sorted(work_dir.glob('*/vis_data/scalars.json'))), curves)
    figures['seconds'] = round(time.time() - began, 1)
    write_json(work_dir / 'metrics.json', figures)
    page = work_dir / 'index.html'
    lead = (
        f'One network trained on {args.train} drawn scenes of {args.size} px for boxes, masks, semantic maps and '
        f'captions, shown and measured on {args.val} scenes that it has never seen.'
    )
    write_report(page, 'Four tasks, one network: Shapes', lead, figures, scenes, curves if drawn else None)
    return page


def run(args: argparse.Namespace) -> None:
    """All of it."""
    from mmengine.runner import find_latest_checkpoint

    began = time.time()
    if args.keep and find_latest_checkpoint(args.work_dir) is None:
        raise FileNotFoundError(f'{args.work_dir} holds no checkpoint: run without --keep')
    prepare_data(args)
    cfg = prepare_config(args)
    if not args.keep:
        train_began = time.time()
        train(cfg, args)
    train_seconds = None if args.keep else round(time.time() - train_began, 1)
    checkpoint = find_latest_checkpoint(cfg.work_dir)
    if checkpoint is None:
        raise FileNotFoundError(f'{cfg.work_dir} holds no checkpoint after training: see default_hooks.checkpoint')
    figures = evaluate(cfg, checkpoint)
    if train_seconds is not None:
        figures['train_seconds'] = train_seconds
    page = show(cfg, args, checkpoint, figures, began)
    print(f'\nfigures:    {page.parent / "metrics.json"}')
    print(f'checkpoint: {checkpoint}')
    print(f'to look at: {page.resolve()} (open it in a browser; pictures in {page.parent / "pictures"})')


def main() -> None:
    """Entry point."""
    try:
        run(parse_args())
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit('\ninterrupted; the same command with --resume goes on from the last checkpoint')


if __name__ == '__main__':
    main()
