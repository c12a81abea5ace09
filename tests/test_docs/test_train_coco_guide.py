"""The guide to COCO in full: its commands, on COCO in miniature with a quarter-width network and two processes."""

import json
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from ..test_datasets.test_converters import coco_zips
from .guides import blocks, run_shell

PAGE = 'docs/user_guides/train_coco.md'
PAPER = 'configs/yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'
ONE_GPU = 'configs/yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_1xb16-300e_coco.py'
# What makes days on GPUs seconds on a CPU.
IN_SMALL = {
    'configs/_base_/datasets/coco_mtl.py': (
        ('img_scale = (640, 640)', 'img_scale = (64, 64)'),
        ('batch_size = 8', 'batch_size = 2'),
        ('num_workers = 4', 'num_workers = 0'),
        ('persistent_workers=True', 'persistent_workers=False'),
    ),
    'configs/_base_/models/yolor-mtl_elan.py': (
        ('(512, 1024, 1024)', '(128, 256, 256)'),
        ('in_channels=(256, 512, 1024)', 'in_channels=(64, 128, 256)'),
        ("'mmyolor_mtl.ELANBackbone'", "'mmyolor_mtl.ELANBackbone', widen_factor=0.25"),
        ("'mmyolor_mtl.ELANPAFPN'", "'mmyolor_mtl.ELANPAFPN', widen_factor=0.25"),
    ),
    'configs/_base_/schedules/adamw_flat-cos_300e.py': (('max_epochs = 300', 'max_epochs = 2'),),
    PAPER: (('close_mosaic_epochs = 10', 'close_mosaic_epochs = 1'),),
    ONE_GPU: (('batch_size=16, num_workers=8', 'batch_size=2, num_workers=0'),),
    'page.md': (
        ('~/downloads', 'downloads --partial --workers 2 --min-count 1'),
        ('--batch-size 8 --workers 8 --warm-up 3 --steps 10', '--batch-size 2'),
        ('.py 8 --amp', '.py 2'),
        ('.py --amp', '.py'),
        ('epoch_300.pth 8', 'epoch_2.pth 2'),
    ),
}


@pytest.fixture
def root(repo_root, tmp_path):
    for name in ('tools', 'mmyolor_mtl'):
        (tmp_path / name).symlink_to(repo_root / name)
    shutil.copytree(repo_root / 'configs', tmp_path / 'configs')
    shutil.copy(repo_root / PAGE, tmp_path / 'page.md')
    for name, changes in IN_SMALL.items():
        text = (tmp_path / name).read_text()
        for old, new in changes:
            assert old in text, f'{name}: {old}'
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
    coco_zips.build_zips(coco_zips.build_source(tmp_path / 'source'), tmp_path / 'downloads')
    return tmp_path


@pytest.mark.slow
def test_the_guide_runs_in_small(repo_root, root, monkeypatch):
    monkeypatch.setenv('PORT', '29541')
    run_shell(root / 'page.md', root, repo_root)
    assert (root / 'data/coco/annotations/vocab.txt').is_file()
    eight, one = (root / 'work_dirs' / Path(config).stem for config in (PAPER, ONE_GPU))
    figures = json.loads((eight / 'metrics.json').read_text())
    assert {name.split('/')[0] for name in figures} >= {'coco', 'sem', 'pan', 'cap'}
    assert (eight / 'epoch_2.pth').is_file() and (one / 'epoch_2.pth').is_file()
    (log,) = one.glob('*/*.log')
    assert '32 iterations of 2 images make a step of the optimizer' in log.read_text()


def test_the_guide_is_of_the_configs_there_are(repo_root):
    text = (repo_root / PAGE).read_text()
    assert len(blocks(repo_root / PAGE, 'shell')) == 6
    paper, one = (Config.fromfile(repo_root / name) for name in (PAPER, ONE_GPU))
    assert Path(PAPER).stem in text and ONE_GPU in text
    assert paper.train_cfg.max_epochs == one.train_cfg.max_epochs == 300
    assert paper.train_dataloader.batch_size * 8 == one.custom_hooks[-1].nominal_batch == 64
    assert one.train_dataloader.batch_size * 4 == 64 and one.model == paper.model
    assert one.custom_hooks[0] == paper.custom_hooks[0]
    for figure in ('52.1', '42.4', '42.5 / 50.1', '28.4', '80.0M', 'not trained yet'):
        assert figure in text
