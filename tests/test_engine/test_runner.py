"""The loop that goes on within an epoch, with samplers of several kinds and workers."""

import pytest
import torch
from mmengine.hooks import Hook

from mmyolor_mtl.engine import MTLCheckpointHook, ResumableEpochLoop
from mmyolor_mtl.registry import DATASETS, HOOKS

from .toy import ToyData, log_of, toy_config, train


@HOOKS.register_module()
class ImageRecorder(Hook):
    """Which images each step saw, and what the model would have drawn there."""

    def before_train(self, runner):
        runner.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        images = [sample.img_id for sample in data_batch['data_samples']]
        runner.seen.append((runner.epoch, batch_idx, images, torch.rand(()).item()))


@HOOKS.register_module()
class BreakOff(Hook):
    """Ends a run before a step."""

    def __init__(self, step):
        self.step = step

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.step:
            raise InterruptedError


@DATASETS.register_module()
class CountingData(ToyData):
    """Counts what is loaded in this process."""

    loaded = 0

    def __getitem__(self, i):
        CountingData.loaded += 1
        return super().__getitem__(i)


def config(work_dir, sampler=None, num_workers=0, **kwargs):
    hooks = [dict(type='mmyolor_mtl.ImageRecorder'), *kwargs.pop('hooks', ())]
    cfg = toy_config(work_dir, hooks=hooks, by_epoch=False, **kwargs)
    cfg.train_dataloader.sampler = sampler or dict(type='mmyolor_mtl.MTLSampler')
    cfg.train_dataloader.update(num_workers=num_workers, persistent_workers=num_workers > 0)
    return cfg


def broken_off_and_resumed(work_dir, step, **kwargs):
    with pytest.raises(InterruptedError):
        train(config(work_dir, hooks=[dict(type='mmyolor_mtl.BreakOff', step=step)], **kwargs))
    cfg = config(work_dir, **kwargs)
    cfg.update(resume=True, experiment_name=f'{cfg.experiment_name}_resumed')
    return train(cfg)


SAMPLERS = {
    'MTLSampler': dict(type='mmyolor_mtl.MTLSampler'),
    'DefaultSampler': dict(type='DefaultSampler', shuffle=True),
}


@pytest.mark.parametrize(
    ('kind', 'num_workers', 'step'),
    [('MTLSampler', 0, 3), ('MTLSampler', 0, 4), ('MTLSampler', 0, 6), ('MTLSampler', 2, 6), ('DefaultSampler', 0, 7)],
)
def test_the_rest_of_the_epoch_is_what_it_would_have_been(tmp_path, kind, num_workers, step):
    sampler = SAMPLERS[kind]
    whole = train(config(tmp_path / 'whole', sampler, num_workers))
    resumed = broken_off_and_resumed(tmp_path / 'run', step, sampler=sampler, num_workers=num_workers)
    assert resumed.seen == whole.seen[step:] and len(whole.seen) == 8
    assert len({draw for *_, draw in whole.seen}) == 8


def test_what_lies_behind_is_not_loaded(tmp_path):
    cfg = config(tmp_path, max_epochs=1)
    cfg.train_dataloader.dataset.type = 'mmyolor_mtl.CountingData'
    cfg.custom_hooks.append(dict(type='mmyolor_mtl.BreakOff', step=3))
    with pytest.raises(InterruptedError):
        train(cfg)
    cfg.custom_hooks.pop()
    cfg.update(resume=True, experiment_name=f'{cfg.experiment_name}_resumed')
    CountingData.loaded = 0
    train(cfg)
    assert CountingData.loaded == 2


def test_seed_of_the_sampler_comes_from_the_checkpoint(tmp_path):
    cfg = config(tmp_path, max_epochs=1)
    cfg.train_dataloader.sampler.seed = 17
    first = train(cfg)
    cfg = config(tmp_path, max_epochs=2)
    cfg.update(resume=True, experiment_name=f'{cfg.experiment_name}_resumed')
    second = train(cfg)
    assert first.train_dataloader.sampler.seed == second.train_dataloader.sampler.seed == 17


def test_epoch_of_another_length_begins_anew(tmp_path):
    with pytest.raises(InterruptedError):
        train(config(tmp_path, hooks=[dict(type='mmyolor_mtl.BreakOff', step=2)]))
    cfg = config(tmp_path, max_epochs=1)
    cfg.update(resume=True, experiment_name=f'{cfg.experiment_name}_resumed')
    cfg.train_dataloader.batch_size = 4
    assert [batch for _, batch, *_ in train(cfg).seen] == [0, 1]
    assert '2 iterations into an epoch of 4; now an epoch has 2, so it is begun anew' in log_of(tmp_path)


def test_other_number_of_processes_is_told(tmp_path, monkeypatch):
    train(config(tmp_path, max_epochs=1))
    monkeypatch.setattr('mmyolor_mtl.engine.hooks.checkpoint_hook.get_world_size', lambda: 2)
    cfg = config(tmp_path, max_epochs=2)
    cfg.update(resume=True, experiment_name=f'{cfg.experiment_name}_resumed')
    train(cfg)
    assert 'The checkpoint is of 1 processes, now there are 2' in log_of(tmp_path)


def test_a_checkpoint_of_the_plain_hook_can_be_resumed(tmp_path):
    cfg = config(tmp_path, max_epochs=1)
    cfg.default_hooks.checkpoint.type = 'CheckpointHook'
    train(cfg)
    cfg = config(tmp_path, max_epochs=2)
    cfg.update(resume=True, experiment_name=f'{cfg.experiment_name}_resumed')
    runner = train(cfg)
    # MMEngine does not say that the epoch of its last iteration is over.
    assert runner.iter == 12 and isinstance(runner.train_loop, ResumableEpochLoop)
    assert any(isinstance(hook, MTLCheckpointHook) for hook in runner.hooks)
