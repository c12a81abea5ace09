"""bfloat16 and float16 on the CPU."""

import copy
import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn
from torch.optim import SGD

from mmyolor_mtl.engine.optimizers import MTLAmpOptimWrapper
from tests.test_models.helpers import labelled_sample
from tests.test_models.test_detectors.test_yolor_mtl import batch, build


# bfloat16 keeps eight bits: near ties, objects are given to other anchors, and weights move elsewhere.
@pytest.mark.parametrize(('dtype', 'tolerance'), [('bfloat16', 0.1), ('float16', 0.02)])
@pytest.mark.parametrize('tasks', [('det', 'ins', 'sem', 'cap'), ('sem', 'cap')], ids=['all', 'no_anchors'])
def test_a_step_is_about_that_of_float32(dtype, tolerance, tasks):
    data = batch([labelled_sample(), labelled_sample(seed=1)])
    whole, half = build(tasks).train(), build(tasks).train()
    dtypes = []
    half.backbone.stem[0].conv.register_forward_hook(lambda module, inputs, output: dtypes.append(output.dtype))
    logs = []
    for model, wrapper in ((whole, OptimWrapper), (half, MTLAmpOptimWrapper)):
        amp = {} if wrapper is OptimWrapper else dict(dtype=dtype, loss_scale=_scale(dtype))
        torch.manual_seed(0)
        logs.append(model.train_step(copy.deepcopy(data), wrapper(optimizer=SGD(model.parameters(), lr=0.01), **amp)))
    assert set(dtypes) == {getattr(torch, dtype)}
    for name, value in logs[0].items():
        assert logs[1][name].dtype == torch.float32
        assert float(logs[1][name].detach()) == pytest.approx(float(value.detach()), rel=tolerance, abs=1e-3), name
    moved = [(a - b).abs().max() for a, b in zip(whole.parameters(), half.parameters(), strict=True)]
    assert all(p.dtype == torch.float32 for p in half.parameters())
    if dtype == 'float16' or 'det' not in tasks:
        assert max(moved) < 0.05


def _scale(dtype):
    return dict(init_scale=128.0) if dtype == 'float16' else None


def test_float16_skips_a_step_whose_gradients_overflow_and_lowers_the_scale():
    layer = nn.Linear(1, 1)
    wrapper = MTLAmpOptimWrapper(
        dtype='float16', loss_scale=dict(init_scale=2.0**10), optimizer=SGD(layer.parameters(), lr=1.0)
    )
    before = layer.weight.detach().clone()
    wrapper.update_params(layer.weight.sum() * math.inf)
    assert torch.equal(layer.weight, before) and wrapper.loss_scaler.get_scale() == 2.0**9
    wrapper.update_params(layer.weight.sum())
    assert torch.allclose(layer.weight, before - 1)
    other = MTLAmpOptimWrapper(dtype='float16', optimizer=SGD(nn.Linear(1, 1).parameters(), lr=1.0))
    other.load_state_dict(wrapper.state_dict())
    assert other.loss_scaler.get_scale() == 2.0**9


def test_settings_are_checked():
    optimizer = SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    with pytest.raises(ValueError, match="dtype='float8'"):
        MTLAmpOptimWrapper(dtype='float8', optimizer=optimizer)
    with pytest.raises(ValueError, match='bfloat16 needs none'):
        MTLAmpOptimWrapper(loss_scale=dict(init_scale=8.0), optimizer=optimizer)
