"""The schedules of the configs against the formulas of REFERENCE_SPEC 5, and the average of the weights."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.models.layers import ExpMomentumEMA
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn
from torch.optim import SGD

from mmyolor_mtl.engine.optimizers import GroupWarmupLR

SCHEDULES = Path(__file__).resolve().parents[3] / 'configs/_base_/schedules'
EPOCH = 100  # iterations


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 1, 1, bias=True), nn.BatchNorm2d(1)


def run(wrapper, schedulers, epochs):
    """Learning rates and momenta of each iteration, by kind of group."""
    built = []
    for cfg in copy.deepcopy(schedulers):
        cls = PARAM_SCHEDULERS.get(cfg.pop('type'))
        build = cls
        if cfg.pop('convert_to_iter_based', False):
            build, cfg['epoch_length'] = cls.build_iter_from_epoch, EPOCH
        built.append(build(wrapper, **cfg))
    rates = {group['kind']: [] for group in wrapper.optimizer.param_groups}
    momenta = []
    for _ in range(epochs):
        for _ in range(EPOCH):
            for group in wrapper.optimizer.param_groups:
                rates[group['kind']].append(group['lr'])
            momenta.append(wrapper.optimizer.param_groups[0].get('momentum'))
            wrapper.step()
            for scheduler in built:
                if not scheduler.by_epoch:
                    scheduler.step()
        for scheduler in built:
            if scheduler.by_epoch:
                scheduler.step()
    return {kind: np.array(values) for kind, values in rates.items()}, momenta


def test_sgd_warms_up_by_group_and_falls_linearly():
    cfg = Config.fromfile(SCHEDULES / 'sgd_linear_300e.py')
    rates, momenta = run(build_optim_wrapper(Net(), cfg.optim_wrapper), cfg.param_scheduler, 300)
    epochs = np.arange(300 * EPOCH) // EPOCH
    linear = 0.01 * ((1 - epochs / 300) * (1 - 0.01) + 0.01)
    assert set(rates) == {'weight', 'norm', 'bias'}
    for kind, start in (('weight', 0.0), ('norm', 0.0), ('bias', 10.0)):
        # The warm-up ends one iteration before the reference's.
        progress = np.minimum(np.arange(300 * EPOCH) / (3 * EPOCH - 1), 1)
        assert rates[kind] == pytest.approx(linear * (start + (1 - start) * progress), rel=1e-6, abs=2e-8), kind
    assert rates['bias'][0] == pytest.approx(0.1) and rates['weight'][0] < 1e-7
    expected = np.interp(np.arange(300 * EPOCH), [0, 3 * EPOCH - 1], [0.8, 0.937])
    assert momenta == pytest.approx(expected)


def flat_cosine(x, end, epochs):
    return np.where(x <= epochs // 2, 1, 1 + (end - 1) * (1 - np.cos(math.pi * (x - epochs // 2) / (epochs // 2))) / 2)


def test_adamw_is_flat_then_a_cosine_iteration_by_iteration():
    cfg = Config.fromfile(SCHEDULES / 'adamw_flat-cos_300e.py')
    rates, _ = run(build_optim_wrapper(Net(), cfg.optim_wrapper), cfg.param_scheduler, 300)
    x = np.arange(300 * EPOCH) / EPOCH
    assert rates['weight'][EPOCH:] == pytest.approx(0.004 * flat_cosine(x, 0.125, 300)[EPOCH:], rel=1e-3)
    assert rates['weight'][0] == pytest.approx(0.004e-3)


def test_gyolo_is_flat_then_a_cosine_epoch_by_epoch_for_both_optimizers():
    cfg = Config.fromfile(SCHEDULES / 'adamw_alternate_60e.py')
    for key, rate, end in (('vision', 0.004, 0.125), ('language', 0.002, 0.25)):
        part = dict(cfg.optim_wrapper[key], constructor='mmyolor_mtl.MTLOptimWrapperConstructor')
        rates, _ = run(build_optim_wrapper(Net(), part), cfg.param_scheduler[key], 60)
        epochs = np.arange(60 * EPOCH) // EPOCH
        assert rates['weight'][EPOCH:] == pytest.approx(rate * flat_cosine(epochs, end, 60)[EPOCH:], rel=1e-6)
        assert rates['bias'][0] == pytest.approx(0.01 if key == 'vision' else rate)
        assert rates['weight'][0] == pytest.approx(0 if key == 'vision' else rate, abs=1e-7)


def test_group_warmup_needs_groups():
    with pytest.raises(ValueError, match='MTLOptimWrapperConstructor'):
        GroupWarmupLR(SGD(Net().parameters(), lr=1.0), bias_factor=10.0, end=5)
    with pytest.raises(ValueError, match='bias_factor=0'):
        GroupWarmupLR(SGD(Net().parameters(), lr=1.0), bias_factor=0, end=5)


def test_the_average_is_the_references_with_its_ramp_and_buffers():
    """Decay 0.9999 (1 - exp(-n / 2000)) over everything that is a float; MMEngine's first update copies."""
    settings = Config.fromfile(SCHEDULES.parent / 'default_runtime.py').default_hooks.ema
    keys = ('momentum', 'gamma', 'update_buffers')
    model = Net().double()
    average = ExpMomentumEMA(model, **{key: settings[key] for key in keys})
    expected = {}
    for n in range(1, 40):
        for value in model.state_dict().values():
            value.copy_(torch.rand_like(value.double()).to(value.dtype))
        average.update_parameters(model)
        decay = 0.0 if n == 1 else 0.9999 * (1 - math.exp(-n / 2000))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected.get(name, 0) + (1 - decay) * value
    found = average.module.state_dict()
    assert {'norm.running_mean', 'norm.running_var', 'conv.weight'} <= set(expected)
    assert all(torch.allclose(found[name], value, rtol=1e-9) for name, value in expected.items())
