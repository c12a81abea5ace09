"""Accumulation to a nominal batch with the real runner."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.optim import SGD

from mmyolor_mtl.engine.hooks import NominalBatchHook
from mmyolor_mtl.registry import HOOKS
from tests.test_train.conftest import tiny_config


@HOOKS.register_module()
class WeightRecorder(Hook):
    """A weight of the network and of its average, after each iteration."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.weights, self.averages = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        (ema,) = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
        name = 'backbone.stem.0.conv.weight'
        self.weights.append(runner.model.state_dict()[name].clone())
        self.averages.append(ema.ema_model.module.state_dict()[name].clone())


def config(root, work_dir, nominal_batch):
    cfg = tiny_config(root, work_dir, max_epochs=2)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.custom_hooks = [
        dict(type='mmyolor_mtl.NominalBatchHook', nominal_batch=nominal_batch),
        dict(type='mmyolor_mtl.WeightRecorder'),
    ]
    return cfg


def test_two_iterations_of_four_images_make_a_step_of_about_ten(scenes, tmp_path):
    runner = Runner.from_cfg(config(scenes, tmp_path, 10))
    decay = runner.cfg.optim_wrapper.optimizer.weight_decay
    runner.train()
    assert runner.optim_wrapper._accumulative_counts == 2
    decays = {group['weight_decay'] for group in runner.optim_wrapper.optimizer.param_groups}
    assert sorted(decays) == [0.0, pytest.approx(decay * 8 / 10)]
    (recorder,) = (hook for hook in runner.hooks if isinstance(hook, WeightRecorder))
    steps = [not torch.equal(a, b) for a, b in zip(recorder.weights, recorder.weights[1:], strict=False)]
    assert steps == [True, False, True, False, True]  # the second, fourth and sixth iteration
    averages = [not torch.equal(a, b) for a, b in zip(recorder.averages, recorder.averages[1:], strict=False)]
    assert averages == [False, True, False, True, False]  # each step once, one iteration later


class TestOnItsOwn:
    """The hook with as much of a runner as it looks at."""

    @staticmethod
    def runner(images, world_size=1, auto_scale_lr=None, **wrapper):
        optimizer = SGD(nn.Linear(1, 1).parameters(), lr=0.1, weight_decay=0.01)
        return SimpleNamespace(
            _train_loop=object.__new__(EpochBasedTrainLoop),
            train_dataloader=SimpleNamespace(batch_size=images),
            world_size=world_size,
            auto_scale_lr=auto_scale_lr,
            optim_wrapper=OptimWrapper(optimizer, **wrapper),
            hooks=[],
            logger=SimpleNamespace(info=lambda message: None),
        )

    @pytest.mark.parametrize(
        ('images', 'processes', 'count'), [(64, 1, 1), (32, 1, 2), (24, 1, 3), (8, 8, 1), (8, 2, 4), (128, 1, 1)]
    )
    def test_counts_the_images_of_all_processes(self, images, processes, count):
        runner = self.runner(images, processes)
        NominalBatchHook(64).before_run(runner)
        assert runner.optim_wrapper._accumulative_counts == count
        decay = 0.01 * images * processes * count / 64
        assert runner.optim_wrapper.optimizer.param_groups[0]['weight_decay'] == pytest.approx(decay)

    def test_a_scaled_learning_rate_is_refused_only_where_steps_are_accumulated(self):
        scale = dict(enable=True, base_batch_size=64)
        NominalBatchHook(64).before_run(self.runner(128, auto_scale_lr=scale))
        with pytest.raises(ValueError, match='step for 4 images, NominalBatchHook makes it 64'):
            NominalBatchHook(64).before_run(self.runner(4, auto_scale_lr=scale))

    def test_evaluation_is_left_alone(self):
        runner = self.runner(4)
        runner._train_loop = None
        NominalBatchHook(64).before_run(runner)
        assert runner.optim_wrapper._accumulative_counts == 1


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match='leave one of the two out'):
        NominalBatchHook(64).before_run(TestOnItsOwn.runner(4, accumulative_counts=2))
    with pytest.raises(ValueError, match='nominal_batch=0'):
        NominalBatchHook(0)
