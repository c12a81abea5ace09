"""Two views in turn: the gradients of the summed loss, with the memory of one."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch.optim import SGD

from mmyolor_mtl.models.heads.branches import DistributionProjection
from mmyolor_mtl.registry import MODELS

from ..helpers import labelled_sample, tiny_model
from .test_yolor_mtl import batch, build


def step(model, samples, *, in_turn, **wrapper):
    """Gradients and log of one step, the parameters left as they are."""
    model = copy.deepcopy(model).train()
    model.train_cfg['views_in_turn'] = in_turn
    torch.manual_seed(0)  # of dropout
    gradients = {}

    class Keep(SGD):
        def step(self, closure=None):
            gradients.update({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})

    log = model.train_step(batch(samples), OptimWrapper(Keep(model.parameters(), lr=0.1), **wrapper))
    return model, gradients, log


def double(model):
    """The network in float64; the losses cast to float32 by themselves, and the bins they use stay so."""
    model.double()
    for module in model.modules():
        if isinstance(module, DistributionProjection):
            module.float()
    model.data_preprocessor.mean, model.data_preprocessor.std = (
        x.double() for x in (model.data_preprocessor.mean, model.data_preprocessor.std)
    )
    return model


@pytest.mark.parametrize('tasks', [('det', 'ins', 'sem', 'cap'), ('det', 'ins', 'sem'), ('cap',)])
def test_gradients_are_those_of_the_summed_loss(tasks):
    """In float64, with partly labelled images; batch norms in training mode move alike."""
    torch.set_default_dtype(torch.float64)
    try:
        model = double(build())
        samples = [labelled_sample(tasks=tasks), labelled_sample(seed=1)]
        for sample in samples:
            sample.gt_instances.bboxes = sample.gt_instances.bboxes.double()
        if 'cap' not in tasks:
            del samples[0].caption_view
        turned, one, log = step(model, samples, in_turn=True)
        together, both, same_log = step(model, samples, in_turn=False)
    finally:
        torch.set_default_dtype(torch.float32)
    assert one.keys() == both.keys() and len(one) > 100
    for name, gradient in both.items():
        assert (one[name] - gradient).abs().max() <= 1e-6 * gradient.abs().max().clamp(min=1e-6), name
    assert log.keys() == same_log.keys()
    assert all(torch.allclose(log[name], same_log[name], rtol=1e-12) for name in log)
    buffers = dict(together.named_buffers())
    assert all(torch.equal(value, buffers[name]) for name, value in turned.named_buffers())


def test_a_step_is_counted_once_when_gradients_accumulate():
    model = build().train()
    optimizer = SGD(model.parameters(), lr=0.1)
    wrapper = OptimWrapper(optimizer, accumulative_counts=2)
    before = copy.deepcopy(model.state_dict())
    data = batch([labelled_sample(), labelled_sample(seed=1)])
    model.train_step(copy.deepcopy(data), wrapper)
    assert wrapper._inner_count == 1
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    model.train_step(data, wrapper)
    assert wrapper._inner_count == 2
    assert any(not torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_only_views_with_something_to_learn_run():
    model = build()
    assert model.trained_views() == ('vision', 'language')
    model.heads['cap'].requires_grad_(False)
    assert model.trained_views() == ('vision',)
    model.heads['cap'].requires_grad_(True)
    for head in model.vision_heads.values():
        head.requires_grad_(False)
    assert model.trained_views() == ('language',)
    assert build(('det',)).trained_views() == ('vision',) and build(('cap',)).trained_views() == ('language',)


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValueError, match='train_cfg of YOLORMTL takes the key views_in_turn'):
        MODELS.build({**tiny_model(), 'train_cfg': dict(view_in_turn=False)})
