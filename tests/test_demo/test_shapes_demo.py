import importlib.util
import json
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def shapes_demo():
    spec = importlib.util.spec_from_file_location('shapes_demo', ROOT / 'demo' / 'shapes_demo.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_scenes_are_drawn_once(shapes_demo, tmp_path, capsys):
    args = shapes_demo.parse_args(
        ['--data', str(tmp_path / 'shapes'), '--train', '3', '--val', '2', '--size', '64', '--seed', '5']
    )
    shapes_demo.prepare_data(args)
    file = tmp_path / 'shapes' / 'annotations' / 'instances_val2017.json'
    first = file.stat().st_mtime_ns
    assert len(json.loads(file.read_text())['images']) == 2
    shapes_demo.prepare_data(args)
    assert file.stat().st_mtime_ns == first and 'up to date' in capsys.readouterr().out
    args.val = 1
    shapes_demo.prepare_data(args)
    assert len(json.loads(file.read_text())['images']) == 1


def test_foreign_folders_are_not_overwritten(shapes_demo, tmp_path):
    (tmp_path / 'precious.txt').write_text('x')
    args = shapes_demo.parse_args(['--data', str(tmp_path), '--train', '1', '--val', '1', '--size', '64'])
    with pytest.raises(OSError, match=r'shapes\.json'):
        shapes_demo.prepare_data(args)
    assert [file.name for file in tmp_path.iterdir()] == ['precious.txt']


def test_data_moves_in_every_part_of_a_config(shapes_demo):
    cfg = Config(
        dict(a=dict(root='data/shapes/', files=['data/shapes/x.json', 'other']), b=('data/shapes/', 3), c=None)
    )
    shapes_demo.move_data(cfg, 'data/shapes/', 'elsewhere/')
    assert cfg.to_dict() == dict(
        a=dict(root='elsewhere/', files=['elsewhere/x.json', 'other']), b=('elsewhere/', 3), c=None
    )


def test_clear_removes_an_earlier_demo_and_nothing_else(shapes_demo, tmp_path):
    for name in ('epoch_3.pth', 'last_checkpoint', 'metrics.json', 'index.html', 'mine.pth', 'notes.txt'):
        (tmp_path / name).write_text('x')
    for name in ('20240101_000000', 'pictures', 'my_folder'):
        (tmp_path / name).mkdir()
    shapes_demo.clear(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ['mine.pth', 'my_folder', 'notes.txt']
    shapes_demo.clear(tmp_path / 'none')


@pytest.mark.parametrize('wrong', [['--config', 'none.py'], ['--pictures', '0'], ['--resume', '--keep']])
def test_wrong_arguments_are_refused(shapes_demo, wrong, capsys):
    with pytest.raises(SystemExit):
        shapes_demo.parse_args(wrong)
    assert 'error' in capsys.readouterr().err


def test_keep_without_a_checkpoint_is_an_error(shapes_demo, tmp_path):
    sizes = ['--train', '1', '--val', '1', '--size', '64']
    where = ['--data', str(tmp_path / 'shapes'), '--work-dir', str(tmp_path / 'work')]
    args = shapes_demo.parse_args(['--keep', *sizes, *where])
    with pytest.raises(FileNotFoundError, match='no checkpoint: run without --keep'):
        shapes_demo.run(args)


@pytest.mark.slow
def test_the_whole_demo_on_a_few_scenes(shapes_demo, tmp_path, monkeypatch):
    """Two short epochs: every file is there, --resume goes on, --keep draws again."""
    sizes = ['--train', '8', '--val', '4', '--size', '64', '--pictures', '3']
    where = ['--data', str(tmp_path / 'shapes'), '--work-dir', str(tmp_path / 'work')]
    options = ['train_dataloader.batch_size=4', 'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0']
    options += ['test_dataloader.num_workers=0', 'custom_hooks=[]', 'train_cfg.val_interval=1']
    options += ['model.heads.det.test_cfg.score_thr=0.000001']  # so early a network is sure of nothing
    options += [f'visualizer.name={tmp_path.name}']  # visualizers are kept by name, with their folder
    options += ['default_hooks.logger.interval=1']  # or two iterations leave no curve
    options += [f'{name}_dataloader.persistent_workers=False' for name in ('train', 'val', 'test')]

    def run(epochs, *mode):
        changes = ['--cfg-options', *options, f'train_cfg.max_epochs={epochs}']
        shapes_demo.run(shapes_demo.parse_args([*mode, *sizes, *where, *changes]))
        return json.loads((tmp_path / 'work' / 'metrics.json').read_text())

    wanted = {'coco/bbox_mAP', 'coco/segm_mAP', 'sem/mIoU', 'pan/PQ', 'cap/Bleu_4', 'cap/CIDEr', 'seconds'}
    figures = run(1)
    assert wanted <= set(figures) and figures['epoch'] == 1 and figures['train_seconds'] > 0
    pictures = sorted((tmp_path / 'work' / 'pictures').iterdir())
    assert len(pictures) == 3
    page = (tmp_path / 'work' / 'index.html').read_text()
    assert all(f'pictures/{picture.name}' in page for picture in pictures) and 'curves.png' in page
    assert run(2, '--resume')['epoch'] == 2
    (tmp_path / 'work' / 'metrics.json').unlink()
    kept = run(2, '--keep')
    assert wanted <= set(kept) and 'train_seconds' not in kept
