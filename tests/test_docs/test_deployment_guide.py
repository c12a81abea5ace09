"""The guide to deployment, as it stands, with a network of the demo's size."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmyolor_mtl.datasets import ShapesDataset
from mmyolor_mtl.datasets.shapes import write_shapes
from mmyolor_mtl.registry import MODELS

from .guides import blocks, run_python, run_shell

PAGE = 'docs/user_guides/deployment.md'
CONFIG = 'configs/shapes/yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py'


@pytest.fixture
def folder(repo_root, tmp_path, monkeypatch):
    """What ``make demo`` leaves behind, in small."""
    for name in ('tools', 'configs', 'mmyolor_mtl', 'requirements'):
        (tmp_path / name).symlink_to(repo_root / name)
    monkeypatch.chdir(tmp_path)
    write_shapes('data/shapes', train=4, val=1, size=192, seed=0)
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(CONFIG).model)
    for branch in model.heads['det'].main.cls_branches:
        torch.nn.init.zeros_(branch.predictor.bias)  # scores of one half
    meta = {'dataset_meta': ShapesDataset.METAINFO, 'tokenizer': model.heads['cap'].tokenizer.state()}
    Path('work_dirs/demo').mkdir(parents=True)
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, 'work_dirs/demo/epoch_3.pth')
    shutil.copy(sorted(Path('data/shapes/train2017').iterdir())[0], 'street.jpg')
    return tmp_path


@pytest.mark.slow
def test_the_guide_runs_as_it_stands(repo_root, folder, tmp_path, capsys):
    pytest.importorskip('openvino')
    page = repo_root / PAGE
    printed = run_shell(page, folder, repo_root)
    assert all(f'exported/{name}' in printed for name in ('vision.onnx', 'caption.onnx', 'network.json'))
    names = run_python(page)
    saved = json.loads(Path('street.json').read_text())
    assert set(saved) == {'image', 'height', 'width', 'objects', 'semantic', 'panoptic', 'caption'}
    assert len(saved['objects']) == len(names['result'].boxes) > 0
    out = capsys.readouterr().out
    assert 'failed: cannot read gone.jpg' in out and 'objects' in out


def test_the_guide_names_what_exists(repo_root):
    text = (repo_root / PAGE).read_text()
    for path in re.findall(r'`((?:tools|tests|mmyolor_mtl)/[\w/.]+)`', text):
        assert (repo_root / path).exists(), path
    (command,) = [block for block in blocks(repo_root / PAGE, 'bash') if 'benchmark_deploy' in block]
    assert os.access(repo_root / command.split()[1], os.R_OK)
    for argument in ('runtime', 'tasks', 'threads', 'precision', 'img_scale'):
        assert f'| `{argument}=' in text
