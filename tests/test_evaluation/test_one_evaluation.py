"""All tasks by the real command line: partly labelled images, any subset of metrics, two processes, mmdet's tools."""

import importlib.util
import json
import pickle
import sys

import mmdet
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope

from mmyolor_mtl.datasets.shapes import SHAPES_METAINFO, write_shapes
from mmyolor_mtl.engine.hooks.eval_table_hook import format_table
from mmyolor_mtl.registry import DATASETS, MODELS

from ..conftest import REPO_ROOT
from ..test_train.forks import launch_two_processes
from .noisy import NoisyModel

DEMO = REPO_ROOT / 'configs/shapes/yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py'
NAMES = ('bbox.json', 'segm.json', 'stuff.json', 'panoptic.json', 'caption.json')


def load(path):
    spec = importlib.util.spec_from_file_location(f'tool_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """Five scenes, so that two processes get one twice; one lacks its semantic map, one captions, one objects."""
    root = tmp_path_factory.mktemp('evaluation') / 'shapes'
    write_shapes(root, 1, 5, size=64, seed=3)
    path = root / 'annotations/instances_val2017.json'
    content = json.loads(path.read_text())
    ids = [image['id'] for image in content['images']]
    content['images'][2]['labelled_tasks'] = ['sem', 'cap']
    path.write_text(json.dumps(content))
    (root / 'stuffthingmaps/val2017' / content['images'][0]['file_name'].replace('.jpg', '.png')).unlink()
    path = root / 'annotations/captions_val2017.json'
    captions = json.loads(path.read_text())
    captions['annotations'] = [ann for ann in captions['annotations'] if ann['image_id'] != ids[4]]
    path.write_text(json.dumps(captions))
    return root


@pytest.fixture(scope='module')
def config(scenes):
    """The demo's evaluation, of a model that knows the labels and makes mistakes."""
    cfg = Config.fromfile(DEMO)
    cfg = Config.fromstring(cfg.pretty_text.replace('data/shapes/', f'{scenes}/'), '.py')
    for name in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'val_dataloader', 'val_cfg',
                 'val_evaluator', 'custom_hooks', 'auto_scale_lr'):  # fmt: skip
        cfg.pop(name, None)
    cfg.custom_imports.imports += ['tests.test_evaluation.noisy']
    meta = {name: SHAPES_METAINFO[name] for name in ('classes', 'stuff_classes', 'extra_classes')}
    cfg.model = dict(type='mmyolor_mtl.NoisyModel', meta=meta)
    for hook in ('ema', 'tokenizer', 'progress', 'checkpoint'):
        cfg.default_hooks.pop(hook)
    cfg.test_dataloader.update(batch_size=1, num_workers=0, persistent_workers=False)
    path = scenes.parent / 'noisy.py'
    cfg.dump(path)
    torch.save({'state_dict': NoisyModel(meta).state_dict(), 'meta': {}}, path.with_suffix('.pth'))
    return path


def options(work_dir):
    files = ['--out', str(work_dir / 'all.pkl'), '--results', str(work_dir / 'results'), '--per-class']
    return ['--work-dir', str(work_dir), *files, '--cfg-options', f'visualizer.name={work_dir.name}']


def read(work_dir):
    """All figures, and all result files in the order of their images."""
    figures = json.loads((work_dir / 'metrics.json').read_text())
    del figures['seconds']
    files = {name: json.loads((work_dir / f'results.{name}').read_text()) for name in NAMES}
    files['panoptic.json'] = files['panoptic.json']['annotations']
    for name, content in files.items():
        files[name] = sorted(content, key=json.dumps)
    for folder in ('semantic', 'panoptic'):
        files[folder] = {path.name: path.read_bytes() for path in (work_dir / f'results.{folder}').iterdir()}
    return figures, files


@pytest.fixture(scope='module')
def single(config):
    work_dir = config.parent / 'single'
    load(REPO_ROOT / 'tools/test.py').main([str(config), str(config.with_suffix('.pth')), *options(work_dir)])
    return work_dir


def test_one_table_and_one_file_for_all_tasks(single):
    figures, files = read(single)
    for name in ('coco/bbox_mAP', 'coco/segm_mAP', 'sem/mIoU', 'sem/stuff_mIoU', 'pan/PQ', 'cap/Bleu_4'):
        assert 0.01 < figures[name] < 0.99, name
    assert list(figures['per_class']) == ['coco/bbox', 'coco/segm', 'sem', 'pan']
    assert figures['per_class']['sem'][0].keys() == {'class', 'IoU', 'Acc'}
    (log,) = single.glob('*/*.log')
    text = log.read_text()
    assert text.count('| boxes ') == 1 and '| captions | BLEU-4' in text and 'masks, every class' in text
    images = {one['image_id'] for one in files['bbox.json']}
    assert len(images) == len(files['semantic']) == len(files['panoptic']) == 5


def test_two_processes_equal_one(config, single):
    work_dir = config.parent / 'double'
    launch_two_processes('tools/test.py', config, config.with_suffix('.pth'), *options(work_dir))
    assert read(work_dir) == read(single)
    dumps = [pickle.loads((folder / 'all.pkl').read_bytes()) for folder in (work_dir, single)]
    assert [sample['img_id'] for sample in dumps[0]] == [sample['img_id'] for sample in dumps[1]]


def evaluate(config, chosen, images=range(5)):
    """Figures of some metrics on some images, as the runner's test loop computes them."""
    cfg = Config.fromfile(config)
    init_default_scope('mmdet')
    dataset = DATASETS.build({**cfg.test_dataloader.dataset, 'indices': [*images]})
    model, evaluator = MODELS.build(cfg.model), Evaluator([cfg.test_evaluator[i] for i in chosen])
    evaluator.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        evaluator.process(model(None, [dataset[i]['data_samples']], mode='predict'))
    return evaluator.evaluate(len(dataset))


@pytest.mark.parametrize(
    ('chosen', 'rows'),
    [
        ([0], ['boxes', 'masks']),
        ([1], ['semantic']),
        ([2], ['panoptic']),
        ([3], ['captions']),
        ([0, 3], ['boxes', 'masks', 'captions']),
    ],
)
def test_any_subset_of_metrics(config, single, chosen, rows):
    figures, everything = evaluate(config, chosen), json.loads((single / 'metrics.json').read_text())
    assert figures == {name: everything[name] for name in figures} and len(figures) > 3
    assert [line.split()[1] for line in format_table(figures).splitlines()[1:-1]] == rows


@pytest.mark.parametrize(('metric', 'left_out'), [(0, 2), (1, 0), (3, 4)])
def test_partly_labelled_sets_equal_their_labelled_parts(config, metric, left_out):
    """Without the images that lack a task's labels, the task's figures are the same."""
    figures = evaluate(config, [metric], [i for i in range(5) if i != left_out])
    assert figures == evaluate(config, [metric]) and len(figures) > 3
    assert figures != evaluate(config, [metric], [i for i in range(5) if i != 1])


def test_mmdets_tools_read_the_dump(config, single, monkeypatch, capsys):
    cfg = Config.fromfile(config)
    cfg.val_evaluator = cfg.test_evaluator
    path = config.parent / 'offline.py'
    cfg.dump(path)
    tools = REPO_ROOT.__class__(mmdet.__path__[0]) / '.mim/tools/analysis_tools'
    if not tools.is_dir():
        pytest.skip('this mmdet came without its tools')
    monkeypatch.setattr(sys, 'argv', ['eval_metric.py', str(path), str(single / 'all.pkl')])
    load(tools / 'eval_metric.py').main()
    figures = json.loads((single / 'metrics.json').read_text())
    printed = capsys.readouterr().out
    for name in ('coco/bbox_mAP', 'coco/segm_mAP', 'sem/mIoU', 'pan/PQ', 'cap/CIDEr'):
        assert f"'{name}': {figures[name]!r}" in printed.replace('np.float64(', ''), name
    pictures = config.parent / 'pictures'
    monkeypatch.setattr(sys, 'argv', ['confusion_matrix.py', str(path), str(single / 'all.pkl'), str(pictures)])
    load(tools / 'confusion_matrix.py').main()
    assert (pictures / 'confusion_matrix.png').is_file()
