"""Self-critical training with the real runner."""

import json

import pytest
import torch
from mmengine.runner import Runner

from mmyolor_mtl.datasets.shapes import write_shapes
from mmyolor_mtl.engine.hooks import SelfCriticalHook
from tests.test_train.conftest import tiny_config
from tests.test_train.forks import launch_two_processes


def self_critical_config(tmp_path, batch_size=4):
    """Two epochs, of which the second is self-critical and trains the caption head alone."""
    root = write_shapes(tmp_path / 'shapes', 12, 2, size=64, seed=3)
    cfg = tiny_config(root, tmp_path / 'run', max_epochs=2, batch_size=batch_size)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    captions = str(root / 'annotations/captions_train2017.json')
    loss = dict(type='SelfCriticalLoss', caption_file=captions, num_captions=3, search='sample', max_length=12)
    cfg.custom_hooks = [dict(type='mmyolor_mtl.SelfCriticalHook', loss=loss, begin=1)]
    cfg.default_hooks.pop('ema')
    return cfg


def assert_it_turned(tmp_path):
    (file,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    # MMEngine logs means over a window, so terms of the first epoch stay in the lines of the second.
    assert ['loss_cap_scst' in line for line in lines] == [False] * 3 + [True] * 3
    first, second = (torch.load(tmp_path / f'run/epoch_{i}.pth', weights_only=False)['state_dict'] for i in (1, 2))
    changed = {key.split('.')[0] + '.' + key.split('.')[1] for key in first if not torch.equal(first[key], second[key])}
    assert changed <= {'heads.cap'}
    assert not any('self_critical' in key for key in second)


def test_turns_at_its_epoch_and_trains_nothing_else(tmp_path):
    Runner.from_cfg(self_critical_config(tmp_path)).train()
    assert_it_turned(tmp_path)


@pytest.mark.slow
def test_two_processes_turn_without_waiting_for_frozen_parts(tmp_path):
    self_critical_config(tmp_path, batch_size=2).dump(tmp_path / 'job.py')
    # Interpreters that end: threads of gloo used to abort there.
    launch_two_processes('tools/train.py', tmp_path / 'job.py')
    assert_it_turned(tmp_path)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match='begin=-1'):
        SelfCriticalHook(dict(), begin=-1)
