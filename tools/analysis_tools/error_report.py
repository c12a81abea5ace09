"""Make a page that shows where a network errs: worst images, confused classes, sizes, lengths, for every task.

Examples:
    python tools/analysis_tools/error_report.py CONFIG.py epoch_300.pth --out-dir work_dirs/errors
    python tools/test.py CONFIG.py epoch_300.pth --out all.pkl
    python tools/analysis_tools/error_report.py CONFIG.py all.pkl --out-dir work_dirs/errors --tasks det sem
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

import mmcv
import mmengine
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config, DictAction
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData, PixelData

from mmyolor_mtl.apis import MTLInferencer
from mmyolor_mtl.datasets.converters.files import draft_folder, write_json
from mmyolor_mtl.datasets.converters.progress import Progress
from mmyolor_mtl.evaluation import PanopticMetric
from mmyolor_mtl.evaluation.errors import TASKS, ErrorAnalysis, ImageScore
from mmyolor_mtl.registry import DATASETS
from mmyolor_mtl.utils.compat import check_stack
from mmyolor_mtl.visualization import MTLLocalVisualizer
from mmyolor_mtl.visualization.error_page import write_error_page
from mmyolor_mtl.visualization.report import ReportScene
from mmyolor_mtl.visualization.sheet import panel_size

_PANELS = {'det': 'objects', 'ins': 'objects', 'sem': 'semantic', 'pan': 'panoptic'}
_FIELDS = {'pred_instances': InstanceData, 'pred_sem_seg': PixelData, 'pred_panoptic_seg': PixelData}


class Source(Protocol):
    """Samples of a data set with annotations and predictions, in the order of the data set."""

    def __iter__(self) -> Iterator[DetDataSample]:
        """All of them, one at a time."""

    def __getitem__(self, index: int) -> DetDataSample:
        """One of them again."""


class StoredPredictions:
    """What ``tools/test.py --out`` wrote.

    Args:
        path (Path): The pickle.
        dataset (Any): The data set that the predictions are of.

    Raises:
        ValueError: The file holds no predictions, or those of other images.
    """

    def __init__(self, path: Path, dataset: Any) -> None:
        self._dataset = dataset
        try:
            self._predictions = mmengine.load(path, file_format='pkl')
        except Exception as error:  # unpickling may raise anything
            raise ValueError(f'{path} cannot be read as a pickle: {error}') from error
        if not isinstance(self._predictions, list) or not all(
            isinstance(one, dict) and 'img_id' in one for one in self._predictions
        ):
            raise ValueError(f'{path} holds no list of predictions as tools/test.py --out writes them')
        if len(self._predictions) != len(dataset):
            raise ValueError(
                f'{path} holds predictions of {len(self._predictions)} images, the test data of the config has '
                f'{len(dataset)}: give the config that the predictions were made with'
            )
        for index, prediction in enumerate(self._predictions):
            img_id = dataset.get_data_info(index)['img_id']
            if prediction['img_id'] != img_id:
                raise ValueError(
                    f'{path}: prediction {index} is of image {prediction["img_id"]}, the test data of the config has '
                    f'image {img_id} there: give the config that the predictions were made with'
                )

    def __iter__(self) -> Iterator[DetDataSample]:
        """All samples."""
        return (self[index] for index in range(len(self._predictions)))

    def __getitem__(self, index: int) -> DetDataSample:
        """One sample."""
        sample, prediction = self._dataset[index]['data_samples'], self._predictions[index]
        for name, kind in _FIELDS.items():
            if name in prediction:
                sample.set_field(kind(**prediction[name]), name)
        for name in ('pred_caption', 'pred_caption_score'):
            if name in prediction:
                sample.set_field(prediction[name], name)
        return sample


class Network:
    """A network that predicts when asked, so that nothing has to be held.

    Args:
        cfg (Config): Config of model and test data.
        checkpoint (Path): Its weights.
        dataset (Any): The test data.
        device (str): 'cpu', 'cuda:0', ...
    """

    def __init__(self, cfg: Config, checkpoint: Path, dataset: Any, device: str) -> None:
        self._dataset = dataset
        self._model = MTLInferencer(cfg, checkpoint, device).model
        sampler = dict(type='DefaultSampler', shuffle=False)
        self._loader = Runner.build_dataloader({**cfg.test_dataloader, 'dataset': dataset, 'sampler': sampler})

    def __iter__(self) -> Iterator[DetDataSample]:
        """All samples, predicted in the batches of the config."""
        for batch in self._loader:
            yield from self._predict(batch)

    def __getitem__(self, index: int) -> DetDataSample:
        """One sample."""
        return self._predict(pseudo_collate([self._dataset[index]]))[0]

    @torch.no_grad()
    def _predict(self, batch: dict) -> list[DetDataSample]:
        return [sample.cpu() for sample in self._model.test_step(batch)]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Make a page that shows where a network errs.')
    parser.add_argument('config', type=Path, help='config of the network, with test data')
    parser.add_argument(
        'predictions',
        type=Path,
        help='checkpoint (.pth) to run on the test data, or .pkl that tools/test.py --out wrote',
    )
    parser.add_argument('--out-dir', required=True, type=Path, help='folder to make; open index.html in it')
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=TASKS, help='tasks to judge (default: all)')
    parser.add_argument('--worst', type=int, default=12, help='images to show of each task (default: %(default)s)')
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='least score of the detections judged (default: %(default)s)'
    )
    parser.add_argument('--device', default='cpu', help='where to run a checkpoint (default: %(default)s)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings of the config, KEY=VALUE'
    )
    return parser.parse_args(argv)


def read_config(args: argparse.Namespace) -> Config:
    """The config of a command line, once its arguments are known to make sense.

    Raises:
        FileNotFoundError: The config or the predictions do not exist.
        ValueError: An argument is out of range, or the config has no test data.
    """
    for path in (args.config, args.predictions):
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist')
    if args.worst < 0:
        raise ValueError(f'--worst {args.worst} must not be negative')
    if not 0 <= args.score_thr <= 1:
        raise ValueError(f'--score-thr {args.score_thr} must be in [0, 1]')
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    if 'test_dataloader' not in cfg:
        raise ValueError(f'{args.config} has no test_dataloader')
    return cfg


def open_source(args: argparse.Namespace, cfg: Config, dataset: Any) -> Source:
    """Stored predictions, or a network, as the name of the file says."""
    if args.predictions.suffix in ('.pkl', '.pickle'):
        return StoredPredictions(args.predictions, dataset)
    return Network(cfg, args.predictions, dataset, args.device)


def judge(source: Source, number: int, analysis: ErrorAnalysis, evaluator: Evaluator) -> dict[str, float]:
    """Judge all samples.

    Returns:
        dict: Figures of the evaluator.

    Raises:
        ValueError: No sample could be judged, or prediction and annotation do not fit each other.
    """
    with Progress('judging', number) as progress:
        for index, sample in enumerate(source):
            try:
                evaluator.process([sample])
            except KeyError as error:
                raise ValueError(
                    f'the test_evaluator of the config needs {error}, which image {sample.img_id} lacks: give the '
                    'config that the predictions were made with'
                ) from error
            analysis.add(index, sample)
            progress.step()
    if not analysis.judged_tasks:
        raise ValueError(
            'no image has both labels and predictions of the tasks asked for: does the test pipeline load annotations '
            '(mmyolor_mtl.LoadMTLAnnotations after the resizing)?'
        )
    return evaluator.evaluate(number)


def draw_worst(
    source: Source, analysis: ErrorAnalysis, meta: Mapping[str, Any], number: int, folder: Path
) -> dict[str, list[ReportScene]]:
    """Draw the worst images of each task, ground truth beside prediction, with the errors named."""
    worst = {task: analysis.worst(task, number) for task in analysis.judged_tasks}
    scenes: dict[str, list[ReportScene]] = {task: [] for task in worst}
    with Progress('drawing', sum(map(len, worst.values()))) as progress:
        for task, images in worst.items():
            for rank, image in enumerate(images, start=1):
                scenes[task].append(draw(source[image.index], task, rank, image, analysis, meta, folder))
                progress.step()
    return scenes


def draw(
    sample: DetDataSample,
    task: str,
    rank: int,
    image: ImageScore,
    analysis: ErrorAnalysis,
    meta: Mapping[str, Any],
    folder: Path,
) -> ReportScene:
    """Draw one sample into ``folder/pictures``."""
    analysis.annotate(task, sample)
    if task == 'det':
        for instances in (sample.gt_instances, sample.pred_instances, sample.get('ignored_instances', {})):
            instances.pop('masks', None)
    pixels = mmcv.imread(sample.img_path, channel_order='rgb')
    path = folder / 'pictures' / f'{task}_{rank:02d}_{Path(sample.img_path).stem}.jpg'
    if task == 'cap':  # the page says what is said
        picture = mmcv.imresize(pixels, panel_size(*pixels.shape[:2])[::-1], interpolation='area')
        caption, references = sample.pred_caption, list(sample.gt_captions)
    else:
        visualizer = MTLLocalVisualizer(panels=(_PANELS[task],))
        visualizer.dataset_meta = dict(meta)
        picture = visualizer.compose(pixels, sample, pred_score_thr=analysis.score_thr)
        caption, references = None, []
    mmcv.imwrite(picture[..., ::-1], str(path))
    name = f'{Path(sample.img_path).name}, image {sample.img_id}, score {image.score:.3f}'
    return ReportScene(name, path, caption, references, image.note)


def run(args: argparse.Namespace) -> None:
    """All of it.

    Raises:
        FileNotFoundError: A file is missing.
        FileExistsError: The output folder is there and not empty.
        ValueError: Arguments, config, data and predictions do not go together.
    """
    cfg = read_config(args)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    with draft_folder(args.out_dir) as folder:
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        evaluator = Evaluator(cfg.get('test_evaluator') or [])
        evaluator.dataset_meta = dataset.metainfo
        panoptic = next((metric for metric in evaluator.metrics if isinstance(metric, PanopticMetric)), None)
        analysis = ErrorAnalysis(dataset.metainfo, args.score_thr, args.tasks, deepcopy(panoptic))
        source = open_source(args, cfg, dataset)
        figures = judge(source, len(dataset), analysis, evaluator)
        errors = analysis.summary()
        scenes = draw_worst(source, analysis, dataset.metainfo, args.worst, folder)
        write_json(folder / 'errors.json', {'figures': figures, 'errors': errors})
        title = f'Errors of {args.config.stem}'
        lead = f'{len(dataset):,} images of the test data, predictions of {args.predictions.name}'
        write_error_page(folder / 'index.html', title, lead, figures, errors, scenes)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when the page is there, 2 on bad input."""
    args = parse_args(argv)
    check_stack(strict=True)
    try:
        run(args)
    except (ValueError, OSError) as error:
        print(f'error_report: {error}', file=sys.stderr)
        return 2
    print(f'to look at: {args.out_dir / "index.html"}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
