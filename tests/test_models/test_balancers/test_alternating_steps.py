"""Two optimizers in turn against a loop written by hand."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD

from mmyolor_mtl.models.balancers import AlternatingSteps

from ..helpers import labelled_sample
from ..test_detectors.test_yolor_mtl import batch, build
from .test_gradient_surgery import balanced

TRUNK_NORM = 0.01  # small enough to clip what captions leave
VISION_NORM = 100.0


def wrappers(model, **settings):
    vision, language = (
        dict(optimizer=dict(type='SGD', lr=0.005, momentum=0.9), clip_grad=dict(max_norm=norm), **settings)
        for norm in (VISION_NORM, 1.0)
    )
    cfg = dict(constructor='mmyolor_mtl.AlternatingOptimWrapperConstructor', vision=vision, language=language)
    return build_optim_wrapper(model, cfg)


def train(model, wrapper, data, steps=2):
    for seed in range(steps):
        torch.manual_seed(seed)
        model.train_step(copy.deepcopy(data), wrapper)
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def by_hand(model, data, scale, clip_scaled, steps=2):
    """REFERENCE_SPEC 4.5 with a constant loss scale."""
    cap = list(model.heads['cap'].parameters())
    rest = [p for name, p in model.named_parameters() if not name.startswith('heads.cap') and p.requires_grad]
    vision, language = (SGD(part, lr=0.005, momentum=0.9) for part in (rest, cap))

    def losses(view):
        inputs = model.data_preprocessor(copy.deepcopy(data), True)
        return sum(model(**inputs, mode='loss', views=(view,)).values())

    def multiply(parameters, factor):
        for p in parameters:
            if p.grad is not None:
                p.grad *= factor

    for seed in range(steps):
        torch.manual_seed(seed)
        (losses('vision') * scale).backward()
        multiply(rest, 1 / scale)
        clip_grad_norm_(rest, VISION_NORM)
        vision.step()
        vision.zero_grad()
        (losses('language') * scale).backward()
        clip_grad_norm_(rest, TRUNK_NORM if clip_scaled else TRUNK_NORM * scale)
        multiply(cap, 1 / scale)
        clip_grad_norm_(cap, 1.0)
        language.step()
        language.zero_grad()
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def difference(first, second):
    return max((first[name] - second[name]).abs().max() for name in second)


def test_equals_a_loop_by_hand():
    data = batch([labelled_sample(), labelled_sample(seed=1)])
    model = balanced(type='mmyolor_mtl.AlternatingSteps', trunk_max_norm=TRUNK_NORM)
    plain = build().train()
    plain.load_state_dict(model.state_dict())
    before = {name: p.detach().clone() for name, p in plain.named_parameters()}
    found, expected = train(model, wrappers(model), data), by_hand(plain, data, 1.0, False)
    assert difference(found, expected) < 1e-6 < difference(before, expected)


@pytest.mark.parametrize('clip_scaled', [True, False])
def test_float16_clips_what_captions_leave_by_its_true_norm_unless_told_otherwise(clip_scaled):
    """A loss scale as with float16, but computed in float32, so that the loop by hand agrees to rounding."""
    scale = 1024.0
    data = batch([labelled_sample(), labelled_sample(seed=1)])
    model = balanced(type='mmyolor_mtl.AlternatingSteps', trunk_max_norm=TRUNK_NORM, clip_scaled=clip_scaled)
    plain, other = build().train(), build().train()
    plain.load_state_dict(model.state_dict())
    other.load_state_dict(model.state_dict())
    both = wrappers(model, type='mmyolor_mtl.MTLAmpOptimWrapper', dtype='float16', loss_scale=dict(init_scale=scale))
    assert both['vision'].loss_scaler is both['language'].loss_scaler
    for wrapper in both.values():
        wrapper.optim_context = OptimWrapper(wrapper.optimizer).optim_context
    found = train(model, both, data)
    rounding = difference(found, by_hand(plain, data, scale, clip_scaled))
    # The other way of clipping leads elsewhere.
    assert rounding < 3e-7 and difference(found, by_hand(other, data, scale, not clip_scaled)) > 5 * rounding + 1e-7


def test_what_captions_leave_follows_a_change_of_the_scale():
    """Growth of the scale between the two steps of an iteration leaves the weights as they were."""
    data = batch([labelled_sample(), labelled_sample(seed=1)])
    results = []
    for interval in (10_000, 2):
        model = balanced(type='mmyolor_mtl.AlternatingSteps', trunk_max_norm=10.0)
        loss_scale = dict(init_scale=64.0, growth_interval=interval)
        both = wrappers(model, type='mmyolor_mtl.MTLAmpOptimWrapper', dtype='float16', loss_scale=loss_scale)
        for wrapper in both.values():
            wrapper.optim_context = OptimWrapper(wrapper.optimizer).optim_context
        results.append(train(model, both, data))
    assert both['vision'].loss_scaler.get_scale() > 64
    assert difference(*results) < 1e-6


def test_the_two_optimizers_share_out_the_network():
    model = balanced(type='mmyolor_mtl.AlternatingSteps')
    both = wrappers(model)
    ids = {key: {id(p) for group in one.optimizer.param_groups for p in group['params']} for key, one in both.items()}
    cap = {id(p) for p in model.heads['cap'].parameters()}
    assert ids['language'] == cap
    assert ids['vision'] == {id(p) for p in model.parameters() if p.requires_grad} - cap


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match='needs a vision head and a caption head'):
        AlternatingSteps(tasks=('det', 'sem'))
    with pytest.raises(ValueError, match='trunk_max_norm=0'):
        AlternatingSteps(tasks=('det', 'cap'), trunk_max_norm=0)
    model = balanced(type='mmyolor_mtl.AlternatingSteps')
    with pytest.raises(TypeError, match='AlternatingOptimWrapperConstructor'):
        model.train_step(batch([labelled_sample()]), OptimWrapper(SGD(model.parameters(), lr=0.1)))
    with pytest.raises(ValueError, match='accumulative_counts must be 1'):
        wrappers(model, accumulative_counts=2)
    with pytest.raises(ValueError, match='needs a model with a caption head'):
        wrappers(build(('det',)))
