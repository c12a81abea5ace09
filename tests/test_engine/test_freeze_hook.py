"""Parts that are trained in some epochs only."""

import json

import pytest
import torch
from mmengine.runner import Runner
from torch import nn

from mmyolor_mtl.engine.hooks import FreezeHook
from mmyolor_mtl.utils.module_patterns import matching_modules
from tests.test_train.conftest import tiny_config
from tests.test_train.forks import train_in_two_processes

PLAN = [
    dict(type='mmyolor_mtl.FreezeHook', modules=['backbone.stage1', 'heads.s*'], begin=1, end=2),
    dict(type='mmyolor_mtl.FreezeHook', modules=['heads.cap'], begin=2),
]


def frozen_config(root, work_dir, batch_size=4, max_epochs=3):
    cfg = tiny_config(root, work_dir, max_epochs=max_epochs, batch_size=batch_size)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.pop('ema')
    cfg.custom_hooks = PLAN
    return cfg


def changed_parts(work_dir, first, second):
    """Modules in which a parameter or a batch statistic differs between two checkpoints."""
    one, two = (
        torch.load(work_dir / f'epoch_{i}.pth', map_location='cpu', weights_only=False)['state_dict']
        for i in (first, second)
    )
    return {'.'.join(name.split('.')[:2]) for name in one if not torch.equal(one[name], two[name])}


def assert_plan_was_kept(work_dir):
    everything = {'backbone.stage1', 'backbone.stage2', 'heads.sem', 'heads.det', 'heads.cap'}
    assert changed_parts(work_dir, 1, 2) & everything == everything - {'backbone.stage1', 'heads.sem'}
    assert changed_parts(work_dir, 2, 3) & everything == everything - {'heads.cap'}


def test_parts_keep_weights_and_statistics_in_their_epochs(scenes, tmp_path):
    Runner.from_cfg(frozen_config(scenes, tmp_path)).train()
    assert_plan_was_kept(tmp_path)
    cfg = frozen_config(scenes, tmp_path, max_epochs=4)  # resumed into an epoch in which captions are frozen
    cfg.resume = True
    Runner.from_cfg(cfg).train()
    parts = changed_parts(tmp_path, 3, 4)
    assert 'heads.cap' not in parts and 'heads.sem' in parts


@pytest.mark.slow
def test_two_processes_go_on_when_parts_freeze_and_thaw(scenes, tmp_path):
    frozen_config(scenes, tmp_path / 'run', batch_size=2).dump(tmp_path / 'frozen.py')
    train_in_two_processes(tmp_path / 'frozen.py')
    assert_plan_was_kept(tmp_path / 'run')
    lines = [json.loads(line) for file in (tmp_path / 'run').glob('*/vis_data/scalars.json') for line in file.open()]
    assert max(line['step'] for line in lines if 'loss' in line) == 9


def test_what_was_frozen_from_the_beginning_stays_so():
    class FakeRunner:
        epoch = 0
        model = nn.Sequential()
        logger = type('Logger', (), {'info': staticmethod(lambda message: None)})

    runner = FakeRunner()
    runner.model.add_module('neck', nn.Linear(2, 2))
    runner.model.neck.bias.requires_grad_(False)
    hook = FreezeHook(['neck'], begin=0, end=1)
    hook.before_train_epoch(runner)
    assert not runner.model.neck.weight.requires_grad
    runner.epoch = 1
    hook.before_train_epoch(runner)
    assert runner.model.neck.weight.requires_grad and not runner.model.neck.bias.requires_grad


@pytest.mark.parametrize('settings', [dict(begin=-1), dict(begin=2, end=2)])
def test_epochs_are_checked(settings):
    with pytest.raises(ValueError, match='begin below end'):
        FreezeHook(['neck'], **settings)
    with pytest.raises(ValueError, match='list of names'):
        FreezeHook('neck')


def test_a_name_that_matches_nothing_is_refused():
    model = nn.Sequential()
    model.add_module('backbone', nn.Linear(1, 1))
    assert list(matching_modules(model, ['back*'])) == ['backbone']
    with pytest.raises(ValueError, match='no module is called backbones; names like it: backbone'):
        matching_modules(model, ['backbones'])
