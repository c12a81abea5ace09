"""The guide to writing a head: its blocks make a module and a config, with which a tiny network is trained."""

import json
import sys
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS, MODELS, TRANSFORMS
from mmengine.runner import Runner

from ..test_train import conftest as training
from ..test_train.conftest import scenes
from .guides import blocks

__all__ = ['scenes']

PAGE = 'docs/advanced_guides/writing_a_head.md'


@pytest.fixture
def project(repo_root, tmp_path, monkeypatch):
    """``my_project.py`` and ``my_config.py`` as a reader copies them."""
    *module, config = blocks(repo_root / PAGE, 'python')
    (tmp_path / 'my_project.py').write_text('\n\n'.join(module))
    (tmp_path / 'my_config.py').write_text(config)
    (tmp_path / 'configs').symlink_to(repo_root / 'configs')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(training, 'DEMO', tmp_path / 'my_config.py')
    yield tmp_path
    sys.modules.pop('my_project', None)
    for registry in (METRICS, MODELS, TRANSFORMS):
        for name in ('CountHead', 'CountObjects', 'Posterise', 'SmoothCrossEntropy', 'CountMetric'):
            registry.module_dict.pop(name, None)


def test_the_task_is_trained_and_measured(project, scenes):
    cfg = training.tiny_config(scenes, project / 'run', max_epochs=1)
    cfg.custom_hooks[0].switch_epoch = 1
    cfg.model.heads.count.in_channels = (16, 32, 64)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert list(runner.model.heads) == ['det', 'ins', 'sem', 'cap', 'count']
    losses = [json.loads(line) for line in next((project / 'run').glob('*/vis_data/scalars.json')).open()]
    assert all(line['loss_count_l1'] > 0 and line['loss_sem_pixel'] > 0 for line in losses if 'loss' in line)
    figures = json.loads((project / 'run/metrics.json').read_text())
    assert figures['count/MAE'] >= 0 and {'coco/bbox_mAP', 'sem/mIoU', 'pan/PQ', 'cap/CIDEr'} <= set(figures)


def test_the_transform_and_an_unlabelled_batch(project):
    module = import_module('my_project')
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    changed = module.Posterise(bits=2, prob=1.0)({'img': image.copy()})['img']
    assert sorted(set(changed.ravel())) == [0, 64, 128, 192]
    assert (module.Posterise(prob=0.0)({'img': image})['img'] == image).all()
    with pytest.raises(ValueError, match='bits=9'):
        module.Posterise(bits=9)
    head = module.CountHead(in_channels=(4, 8))
    unlabelled = SimpleNamespace(metainfo={'labelled_tasks': ()})
    (loss,) = head.loss([None, torch.ones(1, 8, 2, 2)], [unlabelled], {}).values()
    loss.backward()
    assert loss == 0 and all(parameter.grad.abs().sum() == 0 for parameter in head.parameters())
