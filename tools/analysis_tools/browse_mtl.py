"""Look at what a config trains on: both views of its samples with every label, and every step of the pipeline.

Example:
    python tools/analysis_tools/browse_mtl.py CONFIG --out-dir outputs/browse --num 8 --stages
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import Compose
from mmengine.config import Config, DictAction
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.registry import init_default_scope

from mmyolor_mtl.datasets import Visit, seed_visit
from mmyolor_mtl.datasets.transforms import PackMTLInputs
from mmyolor_mtl.datasets.transforms.tiles import draw_deferred
from mmyolor_mtl.registry import DATA_SAMPLERS, DATASETS
from mmyolor_mtl.utils.compat import check_stack
from mmyolor_mtl.utils.content import content_root, find_config
from mmyolor_mtl.visualization.sample_sheet import SampleSheet, Stage


class WatchedPipeline:
    """A pipeline that notes what comes out of each of its transforms.

    Args:
        pipeline (Compose): The pipeline.

    Attributes:
        stages (list[Stage]): Of the sample that was prepared last, one a transform.
    """

    def __init__(self, pipeline: Compose) -> None:
        self.transforms = pipeline.transforms
        self.stages: list[Stage] = []

    def __call__(self, results: dict) -> dict | None:
        """Prepare a sample."""
        self.stages = []
        space = ''
        for number, transform in enumerate(self.transforms, start=1):
            results = transform(results)
            if results is None:
                return None
            space = results.get('gt_space', space)
            self.stages.append(capture(f'{number}. {name_of(transform)}', results, space))
        return results


def capture(title: str, results: dict, space: str) -> Stage:
    """Note the pixels and labels of a sample between two transforms, or of a packed one.

    Args:
        title (str): Title of the stage.
        results (dict): The sample; it is left as it is.
        space (str): Where its labels live: 'network', 'original', or '' while there are none.
    """
    if 'inputs' not in results:
        results = dict(results)
        draw_deferred(results)
        if 'gt_seg_map' in results:
            results['gt_seg_map'] = results['gt_seg_map'].copy()
        results = PackMTLInputs(mask_stride=1).transform(results)
    pixels, sample = results['inputs'].numpy()[::-1].transpose(1, 2, 0), results['data_samples']
    if not space:
        return Stage(title, pixels)
    original = mmcv.imread(sample.img_path, channel_order='rgb') if space == 'original' else None
    return Stage(title, pixels, sample, original)


def name_of(transform: Any) -> str:
    """Name of a transform, with those inside it."""
    inner = getattr(transform, 'transforms', None)
    name = type(transform).__name__
    if inner is None:
        return name
    return f'{name}({", ".join(map(name_of, getattr(inner, "transforms", inner)))})'


def find_tokenizer(transforms: Sequence[Any]) -> Any:
    """Tokenizer of the first transform that has one, inner transforms included; None if there is none."""
    for transform in transforms:
        inner = getattr(transform, 'transforms', ())
        found = getattr(transform, 'tokenizer', None) or find_tokenizer(getattr(inner, 'transforms', inner))
        if found is not None:
            return found
    return None


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(description='Draw the samples of a config with all their labels.')
    parser.add_argument('config', help='config file, or the name of a config that comes with the package')
    parser.add_argument('--out-dir', required=True, type=Path, help='folder of the pictures')
    parser.add_argument('--num', type=int, default=8, help='how many samples, at most an epoch (default: %(default)s)')
    parser.add_argument('--mode', choices=['train', 'val'], default='train', help='whose data (default: %(default)s)')
    parser.add_argument('--stages', action='store_true', help='draw the sample after every transform')
    parser.add_argument('--close-mosaic', action='store_true', help='use the pipeline of the last epochs')
    parser.add_argument(
        '--seed', type=int, default=0, help='other samples, other random numbers (default: %(default)s)'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings of the config, KEY=VALUE'
    )
    return parser


def build_dataset(cfg: Config, mode: str, close_mosaic: bool) -> Any:
    """Build the data set of a config without checking its files: what is broken is shown as such.

    Raises:
        TypeError: It is a wrapper other than ``MixedDataset`` and its like.
        ValueError: ``close_mosaic`` is asked for, and the config switches no pipeline.
    """
    dataset = DATASETS.build({**cfg[f'{mode}_dataloader'].dataset, 'lazy_init': True})
    parts = list(dataset.datasets) if isinstance(dataset, ConcatDataset) else [dataset]
    for part in parts:
        if not isinstance(part, BaseDataset):
            raise TypeError(f'browse_mtl shows data sets and mixtures of them, not {type(part).__name__}')
        if hasattr(part, 'check'):
            part.check = 'none'
    dataset.full_init()
    if close_mosaic:
        switches = [hook for hook in cfg.get('custom_hooks') or () if 'switch_pipeline' in hook]
        if mode != 'train' or not switches:
            raise ValueError('--close-mosaic needs training data and a PipelineSwitchHook in the custom_hooks')
        dataset.pipeline = Compose(switches[-1].switch_pipeline)
    return dataset


def choose_visits(cfg: Config, dataset: Any, mode: str, num: int, seed: int) -> Iterator[Visit]:
    """The first visits of the config's own sampler."""
    sampler = DATA_SAMPLERS.build(cfg[f'{mode}_dataloader'].sampler, default_args=dict(dataset=dataset, seed=seed))
    for position, idx in enumerate(islice(sampler, num)):
        yield idx if isinstance(idx, Visit) else Visit(idx, seed + position)


def draw_visit(dataset: Any, visit: Visit, every_stage: bool) -> tuple[str, np.ndarray]:
    """Prepare a sample and draw it.

    Returns:
        tuple: Stem of its image file, and the sheet, uint8 (h,w,3), RGB.

    Raises:
        ValueError: Its files are broken; the data set logs which and why.
    """
    if isinstance(dataset, ConcatDataset):
        number, index = dataset._get_ori_dataset_idx(visit)
        return draw_visit(dataset.datasets[number], Visit(index, visit.seed), every_stage)
    info = dataset.get_data_info(visit)
    watched = WatchedPipeline(dataset.pipeline)
    dataset.pipeline, pipeline = watched, dataset.pipeline
    try:
        seed_visit(visit)
        prepared = dataset.prepare_data(visit)
    finally:
        dataset.pipeline = pipeline
    path = Path(info['img_path'])
    if prepared is None:
        raise ValueError(f'{path} (image {info["img_id"]}) is left out of training')
    sheet = SampleSheet(dataset.metainfo, find_tokenizer(watched.transforms))
    heading = f'{path.name}, image {info["img_id"]}, {info["width"]} x {info["height"]} px'
    stages = watched.stages if every_stage else [replace(watched.stages[-1], title='What the network gets')]
    return path.stem, sheet.draw(heading, stages)


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write a JPEG whole or not at all."""
    draft = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    encoded = cv2.imencode('.jpg', picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    try:
        draft.write_bytes(encoded.tobytes())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if all samples were drawn, 1 if some were not, 2 on bad input."""
    args = build_parser().parse_args(argv)
    check_stack(strict=True)
    try:
        if args.num < 1:
            raise ValueError(f'--num {args.num} must be at least 1')
        cfg = Config.fromfile(find_config(content_root(), args.config))
        cfg.merge_from_dict(args.cfg_options or {})
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        dataset = build_dataset(cfg, args.mode, args.close_mosaic)
        args.out_dir.mkdir(parents=True, exist_ok=True)
    except (ValueError, TypeError, OSError) as error:
        print(f'browse_mtl: {error}', file=sys.stderr)
        return 2
    failed = 0
    for number, visit in enumerate(choose_visits(cfg, dataset, args.mode, args.num, args.seed)):
        try:
            stem, picture = draw_visit(dataset, visit, args.stages)
        except Exception as error:  # whatever is wrong with one sample, the others can be looked at
            failed += 1
            print(f'sample {int(visit)} could not be drawn: {type(error).__name__}: {error}', file=sys.stderr)
            continue
        path = args.out_dir / f'{number:03d}_{stem}.jpg'
        write_picture(path, picture)
        print(path)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
