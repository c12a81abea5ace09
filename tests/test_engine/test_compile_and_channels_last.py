"""Speed by configuration: the same numbers."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmyolor_mtl.engine.hooks import ChannelsLastHook, CompileHook
from tests.test_models.helpers import labelled_sample
from tests.test_models.test_detectors.test_yolor_mtl import batch, build


def runner_of(model, **cfg):
    return SimpleNamespace(model=model, cfg=Config(cfg))


def step(model):
    optimizer = dict(type='AdamW', lr=0.001, weight_decay=0.01, fused=True)
    constructor = 'mmyolor_mtl.MTLOptimWrapperConstructor'
    wrapper = build_optim_wrapper(model, dict(optimizer=optimizer, constructor=constructor))
    torch.manual_seed(0)
    return model.train_step(batch([labelled_sample(), labelled_sample(seed=1)]), wrapper)


def assert_same_step(model, other):
    logs = step(model), step(other)
    assert all(torch.allclose(logs[0][name], logs[1][name], rtol=1e-4) for name in logs[0])
    state = other.state_dict()
    assert state.keys() == model.state_dict().keys()
    # The first step of AdamW moves every weight by the learning rate, whatever the size of its gradient.
    close = [torch.isclose(value, state[name], rtol=1e-3, atol=2e-4) for name, value in model.state_dict().items()]
    assert torch.cat([one.flatten() for one in close]).float().mean() > 0.99


def test_channels_last_changes_the_order_alone():
    model = build().train()
    other = copy.deepcopy(model)
    ChannelsLastHook().before_run(runner_of(other))
    assert not model.backbone.stage1[0].conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert other.backbone.stage1[0].conv.weight.is_contiguous(memory_format=torch.channels_last)
    outputs = []
    other.backbone.stage2[0].register_forward_hook(lambda module, inputs, output: outputs.append(output))
    assert_same_step(model, other)
    assert all(output.is_contiguous(memory_format=torch.channels_last) for output in outputs)


def test_a_compiled_part_trains_and_keeps_its_names():
    model = build().train()
    other = copy.deepcopy(model)
    CompileHook(['backbone.stage1'], dict(backend='aot_eager')).before_run(runner_of(other))
    assert other.backbone.stage1._compiled_call_impl is not None
    assert_same_step(model, other)


def test_a_step_compiled_as_a_whole_is_refused():
    with pytest.raises(ValueError, match='leave it out, CompileHook is on'):
        CompileHook().before_run(runner_of(build(), compile=True))
    with pytest.raises(ValueError, match='no module is called necks'):
        CompileHook(['necks']).before_run(runner_of(build()))
