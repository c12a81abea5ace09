"""Self-critical training with the real runner."""

import json

import pytest
import torch
from mmengine.runner import Runner

from mmyolor_mtl.datasets.shapes import write_shapes
from mmyolor_mtl.engine.hooks import SelfCriticalHook
from tests.test_train.conftest import tiny_config


def test_turns_at_its_epoch_and_trains_nothing_else(tmp_path):
    root = write_shapes(tmp_path / 'shapes', 12, 2, size=64, seed=3)
    cfg = tiny_config(root, tmp_path / 'run', max_epochs=2)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    captions = str(root / 'annotations/captions_train2017.json')
    loss = dict(type='SelfCriticalLoss', caption_file=captions, num_captions=3, search='sample', max_length=12)
    cfg.custom_hooks = [dict(type='mmyolor_mtl.SelfCriticalHook', loss=loss, begin=1)]
    cfg.default_hooks.pop('ema')
    runner = Runner.from_cfg(cfg)
    runner.train()
    (file,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    # MMEngine logs means over a window, so terms of the first epoch stay in the lines of the second.
    assert ['loss_cap_scst' in line for line in lines] == [False] * 3 + [True] * 3
    first, second = (torch.load(tmp_path / f'run/epoch_{i}.pth', weights_only=False)['state_dict'] for i in (1, 2))
    changed = {key.split('.')[0] + '.' + key.split('.')[1] for key in first if not torch.equal(first[key], second[key])}
    assert changed <= {'heads.cap'}
    assert not any('self_critical' in key for key in second)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match='begin=-1'):
        SelfCriticalHook(dict(), begin=-1)
