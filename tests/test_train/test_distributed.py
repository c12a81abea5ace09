"""Two real processes (gloo): they follow one process with the whole batch, also where labels are missing."""

import json

import pytest
from mmengine.runner import Runner

from . import step_recorder  # noqa: F401  (registers the hook)
from .conftest import tiny_config
from .forks import launch_two_processes, train_in_two_processes
from .test_runner import LOSSES, drop_labels, scalars


def test_two_processes_with_missing_labels_do_not_stall(own_scenes, tmp_path):
    drop_labels(own_scenes)
    cfg = tiny_config(own_scenes, tmp_path / 'run', max_epochs=2, batch_size=1)
    config = tmp_path / 'tiny.py'
    cfg.dump(config)
    launch_two_processes('tools/train.py', config)
    lines = [line for line in scalars(tmp_path / 'run') if 'loss' in line]
    assert len(lines) == 12 and all(max(line[name] for line in lines) > 0 for name in LOSSES)
    assert (tmp_path / 'run/epoch_2.pth').is_file()


def recorded_config(root, work_dir, batch_size):
    """21 steps of the tiny network, everything random but the samples switched off."""
    cfg = tiny_config(root, work_dir, max_epochs=7, batch_size=batch_size)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.randomness = dict(seed=3)
    cfg.custom_imports = dict(imports=['mmyolor_mtl', 'tests.test_train.step_recorder'], allow_failed_imports=False)
    cfg.custom_hooks = [dict(type='mmyolor_mtl.StepRecorder')]
    cfg.default_hooks.checkpoint.interval = 99
    return cfg


def steps(work_dir, rank=0):
    return json.loads((work_dir / f'steps_{rank}.json').read_text())


@pytest.mark.slow
@pytest.mark.parametrize(('balanced', 'labels'), [(True, 'partial'), (False, 'complete'), (False, 'partial')])
def test_two_processes_follow_one_with_the_whole_batch(own_scenes, tmp_path, labels, balanced):
    if labels == 'partial':
        drop_labels(own_scenes)

    def config(name, batch_size):
        cfg = recorded_config(own_scenes, tmp_path / name, batch_size)
        if not balanced:  # the paper's semantic terms
            cfg.model.heads.sem.loss_pixel = dict(type='mmyolor_mtl.IndexFocalLoss')
            cfg.model.heads.sem.loss_dice = dict(type='mmyolor_mtl.IndexDiceLoss')
        return cfg

    Runner.from_cfg(config('one', 4)).train()
    path = tmp_path / 'two.py'
    config('two', 2).dump(path)
    train_in_two_processes(path)
    one, first, second = steps(tmp_path / 'one'), steps(tmp_path / 'two', 0), steps(tmp_path / 'two', 1)
    assert first == second and len(one) == len(first) == 21
    for whole, half in zip(one, first, strict=True):
        assert whole.keys() == half.keys() >= LOSSES
        for name, value in whole.items():
            assert half[name] == pytest.approx(value, rel=1e-5, abs=1e-7), name
    assert abs(one[-1]['loss'] / one[0]['loss'] - 1) > 0.01  # the weights did move
