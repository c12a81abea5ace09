"""PCGrad and CAGrad in the step of a real network."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch.optim import SGD

from mmyolor_mtl.models.balancers import project_conflicts
from mmyolor_mtl.registry import MODELS
from mmyolor_mtl.utils.task_losses import sum_by_task

from ..helpers import labelled_sample, tiny_model
from ..test_detectors.test_yolor_mtl import batch, build


def balanced(**balancer):
    """The tiny network with a balancer."""
    torch.manual_seed(0)
    model = MODELS.build({**tiny_model(), 'type': 'mmyolor_mtl.BalancedYOLORMTL', 'balancer': balancer})
    model.init_weights()
    return model.train()


class Keep(SGD):
    """Leaves the parameters as they are and keeps their gradients."""

    def step(self, closure=None):
        self.kept = [None if p.grad is None else p.grad.clone() for p in self.param_groups[0]['params']]


def gradients(model, data, steps=1, **wrapper):
    optimizer = Keep(list(model.parameters()), lr=0.1)
    wrapper = OptimWrapper(optimizer, **wrapper)
    for _ in range(steps):
        torch.manual_seed(0)  # of dropout
        log = model.train_step(copy.deepcopy(data), wrapper)
    return dict(zip((name for name, _ in model.named_parameters()), optimizer.kept, strict=True)), log


@pytest.mark.parametrize('in_turn', [True, False])
def test_without_room_the_gradients_are_those_of_plain_training(in_turn):
    data = batch([labelled_sample(), labelled_sample(seed=1)])
    plain, surgical = build().train(), balanced(type='mmyolor_mtl.CAGrad', c=0.0)
    surgical.load_state_dict(plain.state_dict(), strict=False)
    for model in (plain, surgical):
        model.train_cfg['views_in_turn'] = in_turn
    expected, log = gradients(plain, data)
    found, surgical_log = gradients(surgical, data)
    assert surgical_log.keys() - log.keys() == {f'weight/{task}' for task in ('det', 'ins', 'sem', 'cap')}
    assert all(torch.allclose(surgical_log[name], log[name]) for name in log)
    for name, gradient in expected.items():
        scale = 0 if gradient is None else gradient.abs().max()
        assert gradient is None or (found[name] - gradient).abs().max() <= 1e-4 * scale + 1e-9, name


def test_pcgrad_combines_the_gradients_of_the_tasks_on_the_trunk_alone():
    data = batch([labelled_sample(), labelled_sample(seed=1)])
    model = balanced(type='mmyolor_mtl.PCGrad', seed=7)
    reference = copy.deepcopy(model)
    found, _ = gradients(model, data)
    torch.manual_seed(0)
    losses = reference(**reference.data_preprocessor(copy.deepcopy(data), True), mode='loss')
    parameters = {name: p for name, p in reference.named_parameters() if p.requires_grad}
    tasks = [
        torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, allow_unused=True)
        for loss in sum_by_task(losses).values()
    ]
    trunk = [name for name in parameters if name.startswith(('backbone', 'neck'))]
    flat = []
    for task in tasks:
        by_name = dict(zip(parameters, task, strict=True))
        flat.append(torch.cat([_or_zero(by_name[name], parameters[name]).flatten() for name in trunk]))
    flat = torch.stack(flat).double()
    generator = torch.Generator().manual_seed(7)
    orders = [torch.randperm(4, generator=generator).tolist() for _ in range(4)]
    expected = project_conflicts(flat @ flat.T, orders) @ flat
    assert not torch.allclose(expected, flat.sum(dim=0), rtol=1e-3)  # some tasks do conflict
    combined = torch.cat([found[name].flatten() for name in trunk]).double()
    assert (combined - expected).norm() <= 1e-4 * expected.norm()
    for i, name in enumerate(parameters):
        if name not in trunk:
            total = sum(_or_zero(task[i], parameters[name]) for task in tasks)
            assert (found[name] - total).norm() <= 1e-4 * total.norm() + 1e-9, name


def _or_zero(gradient, parameter):
    return torch.zeros_like(parameter) if gradient is None else gradient


def test_accumulated_steps_are_the_mean_of_their_combinations():
    data = batch([labelled_sample()])
    once, _ = gradients(balanced(type='mmyolor_mtl.CAGrad', c=0.4), data)
    twice, _ = gradients(balanced(type='mmyolor_mtl.CAGrad', c=0.4), data, steps=2, accumulative_counts=2)
    for name, gradient in once.items():
        assert gradient is None or torch.allclose(twice[name], gradient, rtol=1e-3, atol=1e-6), name


def test_a_frozen_trunk_is_plain_training():
    model = balanced(type='mmyolor_mtl.PCGrad')
    model.backbone.requires_grad_(False)
    model.neck.requires_grad_(False)
    found, log = gradients(model, batch([labelled_sample()]))
    assert 'weight/det' not in log and found['backbone.stem.0.conv.weight'] is None
    assert all(found[name] is not None for name in found if name.startswith('heads.sem'))


@pytest.mark.parametrize(
    'balancer',
    [
        dict(type='mmyolor_mtl.PCGrad', seed=1),
        dict(type='mmyolor_mtl.GradNorm', layer='backbone.stage4', lr=0.2),
        dict(type='mmyolor_mtl.DynamicWeightAverage', interval=2),
        dict(type='mmyolor_mtl.UncertaintyWeighting'),
    ],
    ids=lambda balancer: balancer['type'].split('.')[1],
)
def test_a_state_dict_goes_on_bit_for_bit(balancer):
    """Six steps equal three, a state dict loaded into a fresh model, and three more; the weights differ from 1."""
    data = batch([labelled_sample(), labelled_sample(seed=1)])

    def train(model, optimizer, steps):
        for seed in steps:
            torch.manual_seed(seed)
            log = model.train_step(copy.deepcopy(data), OptimWrapper(optimizer, clip_grad=dict(max_norm=1.0)))
        return log

    whole = balanced(**balancer)
    log = train(whole, SGD(whole.parameters(), lr=0.05), range(6))
    first = balanced(**balancer)
    train(first, SGD(first.parameters(), lr=0.05), range(3))
    second = balanced(**balancer)
    second.load_state_dict(first.state_dict())
    train(second, SGD(second.parameters(), lr=0.05), range(3, 6))
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in whole.state_dict().items())
    assert any(abs(float(log[f'weight/{task}']) - 1) > 1e-4 for task in ('det', 'ins', 'sem', 'cap'))


def test_a_balanced_model_predicts_as_the_plain_one_does():
    model, plain = balanced(type='mmyolor_mtl.PCGrad').eval(), build().eval()
    missing, unexpected = plain.load_state_dict(model.state_dict(), strict=False)
    assert not missing and unexpected == ['balancer.steps']
    with torch.no_grad():
        outputs = [m(torch.zeros(1, 3, 64, 64)) for m in (model, plain)]
    assert outputs[0].keys() == outputs[1].keys()
    assert torch.equal(outputs[0]['cls_logits'], outputs[1]['cls_logits'])
