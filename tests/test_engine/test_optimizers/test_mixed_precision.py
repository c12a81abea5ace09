"""bfloat16 and float16 on the CPU."""

import copy
import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn
from torch.nn.utils import parameters_to_vector
from torch.optim import SGD

from mmyolor_mtl.engine.optimizers import MTLAmpOptimWrapper
from tests.test_models.helpers import labelled_sample
from tests.test_models.test_detectors.test_yolor_mtl import batch, build


# bfloat16 keeps eight bits: near ties, objects are given to other anchors.
@pytest.mark.parametrize(('dtype', 'tolerance'), [('bfloat16', 0.1), ('float16', 0.02)])
def test_a_step_is_about_that_of_float32(dtype, tolerance):
    data = batch([labelled_sample(), labelled_sample(seed=1)])
    whole, half = build().train(), build().train()
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
    assert all(p.dtype == torch.float32 for p in half.parameters())
    start = parameters_to_vector(build().parameters())
    steps = [parameters_to_vector(model.parameters()) - start for model in (whole, half)]
    # An object on other anchors turns a gradient; a loss scale that was not taken out would make it 128 times as long.
    assert torch.cosine_similarity(*steps, dim=0) > 0.5
    assert 0.2 < steps[1].norm() / steps[0].norm() < 5


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
