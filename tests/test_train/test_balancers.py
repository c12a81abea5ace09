"""Every way to balance tasks trains Shapes with the real runner, and two processes follow one with the whole batch."""

import json
import math

import pytest
from mmengine.runner import Runner

from . import step_recorder, visit_recorder  # noqa: F401  (registers the hooks)
from .conftest import tiny_config
from .forks import train_in_two_processes
from .test_distributed import recorded_config, steps
from .test_runner import LOSSES

BALANCERS = {
    'uncertainty': dict(type='mmyolor_mtl.UncertaintyWeighting'),
    'dwa': dict(type='mmyolor_mtl.DynamicWeightAverage', interval=3),
    'gradnorm': dict(type='mmyolor_mtl.GradNorm', layer='backbone.stage4'),
    'pcgrad': dict(type='mmyolor_mtl.PCGrad', seed=3),
    'cagrad': dict(type='mmyolor_mtl.CAGrad', c=0.5),
    'alternate': dict(type='mmyolor_mtl.AlternatingSteps'),
}


def balance(cfg, name, lr=0.008):
    """Give a config a balancer, and what it needs of the optimizer."""
    cfg.model.type = 'mmyolor_mtl.BalancedYOLORMTL'
    cfg.model.balancer = BALANCERS[name]
    cfg.optim_wrapper.optimizer.lr = lr
    if name == 'alternate':
        part = {key: cfg.optim_wrapper[key] for key in ('type', 'optimizer', 'clip_grad')}
        constructor = 'mmyolor_mtl.AlternatingOptimWrapperConstructor'
        cfg.optim_wrapper = dict(constructor=constructor, vision=part, language=dict(part))
    if name == 'uncertainty':
        cfg.optim_wrapper.paramwise_cfg.custom_keys['balancer.'] = dict(decay_mult=0.0)
    return cfg


@pytest.mark.parametrize('name', BALANCERS)
def test_trains_shapes(scenes, tmp_path, name):
    cfg = balance(tiny_config(scenes, tmp_path, max_epochs=5), name)
    load, annotate, weak_view, letterbox, *_, pack = cfg.custom_hooks[0].switch_pipeline
    plain = [load, annotate, *weak_view.transforms, letterbox, pack]
    cfg.train_dataloader.dataset.pipeline = plain
    cfg.custom_hooks = [dict(type='mmyolor_mtl.VisitRecorder', pipeline=plain)]
    cfg.default_hooks.checkpoint.interval = 99
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.randomness = dict(seed=3)
    Runner.from_cfg(cfg).train()
    report = json.loads((tmp_path / 'report_0.json').read_text())
    before, after = (unweighted(report[key]) for key in ('before', 'after'))
    assert set(before) == LOSSES and all(math.isfinite(value) for value in after.values())
    ratios = {key: after[key] / before[key] for key in LOSSES}
    # In fifteen steps boxes and classes may still be unsettled; the others fall by themselves.
    assert sum(after.values()) < 0.95 * sum(before.values())
    assert max(value for key, value in ratios.items() if not key.startswith('loss_det')) < 0.98, ratios


def unweighted(report):
    losses = {name: value for name, value in report.items() if name.startswith('loss') and 'uncertainty' not in name}
    return {name: value / report.get(f'weight/{name.split("_")[1]}', 1.0) for name, value in losses.items()}


RUNS = (('one', 4), ('two', 2))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['uncertainty', 'gradnorm', 'pcgrad', 'alternate'])
def test_two_processes_follow_one_with_the_whole_batch(scenes, tmp_path, name):
    one, two = (balance(recorded_config(scenes, tmp_path / run, size), name, lr=0.002) for run, size in RUNS)
    one.train_cfg.max_epochs = two.train_cfg.max_epochs = 3
    Runner.from_cfg(one).train()
    two.dump(tmp_path / 'two.py')
    train_in_two_processes(tmp_path / 'two.py')
    one, first, second = steps(tmp_path / 'one'), steps(tmp_path / 'two', 0), steps(tmp_path / 'two', 1)
    assert first == second and len(one) == len(first) == 9
    for whole, half in zip(one, first, strict=True):
        assert whole.keys() == half.keys()
        for key, value in whole.items():
            assert half[key] == pytest.approx(value, rel=1e-3, abs=1e-5), key
