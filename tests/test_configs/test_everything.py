"""Every registered class: it builds from the arguments below, runs, trains a step, saves and loads.

A class that is missing from the tables fails :func:`test_the_tables_are_complete`, so new ones are added here.
"""

import io
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import init_default_scope

import mmyolor_mtl.registry as registries

from ..test_models.helpers import labelled_sample, tiny_model
from ..test_train.conftest import scenes
from .registered_parts import PARTS

__all__ = ['scenes']

SIZE = 64
ELAN, GELAN, WIDE = (32, 64, 64), (32, 32, 32), (128, 128, 128)
NECK = (16, 32, 64)
LEVELS = [(8, 8, 8), (4, 4, 16), (2, 2, 32)]
BOXES = torch.tensor([[8.0, 8, 40, 40], [4, 4, 60, 60]])
SMALL_CAPTIONS = dict(embed_dims=32, num_heads=4, feedforward_channels=32, max_length=12, vocab_size=20, dropout=0.0)


def pictures():
    return torch.rand(2, 3, SIZE, SIZE)


def levels(channels):
    return [torch.rand(2, width, *level[:2]) for width, level in zip(channels, LEVELS, strict=True)]


def logits(*shape):
    return torch.randn(*shape, requires_grad=True)


# Arguments of the class, and the arguments of a call.
NETWORKS = {
    'ELANBackbone': (dict(widen_factor=1 / 16), lambda: (pictures(),)),
    'GELANBackbone': (dict(widen_factor=1 / 16), lambda: (pictures(),)),
    'GELANAuxiliaryBranch': (dict(in_channels=GELAN, widen_factor=1 / 16), lambda: (pictures(), levels(GELAN))),
    'ELANPAFPN': (dict(in_channels=ELAN, widen_factor=1 / 16), lambda: (levels(ELAN),)),
    'GELANPAFPN': (dict(in_channels=WIDE, widen_factor=1 / 4, attention=True), lambda: (levels(WIDE),)),
    'YOLORDetectionHead': (dict(num_classes=4, in_channels=NECK, implicit=True), lambda: (levels(NECK),)),
    'YOLORMaskHead': (dict(in_channels=NECK, num_prototypes=8, proto_channels=16), lambda: (levels(NECK),)),
    'YOLORSemanticHead': (dict(num_classes=6, in_channels=NECK, hidden_channels=16), lambda: (levels(NECK),)),
    'CaptionHead': (dict(in_channels=NECK, num_layers=1, mlp_channels=32, **SMALL_CAPTIONS), lambda: (levels(NECK),)),
    'RegionCaptionHead': (
        dict(in_channels=NECK, grid_channels=32, semantic_channels=8, num_regions=10, **SMALL_CAPTIONS),
        lambda: (
            [*levels(NECK), torch.rand(2, 32, 2, 2)],
            dict(
                o2o_cls_logits=torch.randn(2, 84, 4),
                sem_logits=torch.randn(2, 6, 16, 16),
                sem_feats=torch.rand(2, 8, 16, 16),
            ),
        ),
    ),
}
LOSSES = {
    'CompleteIoULoss': ({}, lambda: (logits(2, 4) + BOXES, BOXES, torch.ones(2), 2.0)),
    'IndexFocalLoss': ({}, lambda: (logits(2, 5, 8, 8), torch.randint(0, 5, (2, 1, 8, 8)))),
    'IndexDiceLoss': ({}, lambda: (logits(2, 5, 8, 8), torch.randint(0, 5, (2, 1, 8, 8)))),
    'IndexCrossEntropyLoss': ({}, lambda: (logits(2, 5, 8, 8), torch.randint(0, 5, (2, 1, 8, 8)))),
    'PrototypeMaskLoss': (
        {},
        lambda: (
            logits(1, 2, 8),
            logits(1, 8, 16, 16),
            torch.ones(1, 2, 16, 16, dtype=torch.uint8),
            BOXES[None] / 4,
            torch.tensor([[0, 1]]),
            torch.ones(1, 2, dtype=torch.bool),
        ),
    ),
}
ALTERNATING = {view: dict(optimizer=dict(type='SGD', lr=0.01)) for view in ('vision', 'language')}
# Arguments of the balancer, and the optimizers it trains with.
PLAIN = dict(optimizer=dict(type='SGD', lr=0.01))
BALANCERS = {
    'UncertaintyWeighting': ({}, PLAIN),
    'DynamicWeightAverage': (dict(interval=1), PLAIN),
    'GradNorm': (dict(layer='backbone.stage4.1'), PLAIN),
    'PCGrad': ({}, PLAIN),
    'CAGrad': ({}, PLAIN),
    'AlternatingSteps': ({}, dict(constructor='mmyolor_mtl.AlternatingOptimWrapperConstructor', **ALTERNATING)),
}
MODELS = {'YOLORMTL', 'BalancedYOLORMTL'}


def registered(name):
    """Classes of a registry that the package brings; tests of the same process may have registered others."""
    registry = getattr(registries, name)
    registry.import_from_location()
    return {key for key, cls in registry.module_dict.items() if cls.__module__.startswith('mmyolor_mtl.')}


def registry_names():
    values = vars(registries).items()
    return [name for name, one in values if isinstance(one, registries.Registry) and one.scope == 'mmyolor_mtl']


def test_the_tables_are_complete():
    listed = {('MODELS', name) for table in (NETWORKS, LOSSES, BALANCERS, MODELS) for name in table} | set(PARTS)
    assert listed == {(name, key) for name in registry_names() for key in registered(name)}


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmdet')


def build(name, **kwargs):
    """As another project does it: from MMEngine's own registry."""
    return MMENGINE_MODELS.build(dict(type=f'mmyolor_mtl.{name}', **kwargs))


def total_of(outputs):
    """A scalar that depends on every tensor of nested outputs."""
    if isinstance(outputs, torch.Tensor):
        return outputs.float().square().mean()
    return sum(total_of(value) for value in (outputs.values() if isinstance(outputs, dict) else outputs))


def saved_and_loaded(module, other):
    """``other`` with the state of ``module``, by way of a file."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    state = other.state_dict()
    assert state.keys() == module.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    return other


@pytest.mark.parametrize('name', NETWORKS)
def test_networks(name):
    kwargs, inputs = NETWORKS[name]
    module, arguments = build(name, **kwargs), inputs()
    module.init_weights()
    module.train()
    trained = {key: p for key, p in module.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(trained.values(), lr=0.1)
    total_of(module(*arguments)).backward()
    for key, parameter in trained.items():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
    before = {key: p.detach().clone() for key, p in trained.items()}
    optimizer.step()
    assert any(not torch.equal(p, before[key]) for key, p in trained.items())
    other = saved_and_loaded(module, build(name, **kwargs)).eval()
    module.eval()
    with torch.no_grad():
        torch.testing.assert_close(total_of(other(*arguments)), total_of(module(*arguments)), rtol=0, atol=0)


@pytest.mark.parametrize('name', LOSSES)
def test_losses(name):
    kwargs, inputs = LOSSES[name]
    arguments = inputs()
    leaves = [value for value in arguments if isinstance(value, torch.Tensor) and value.requires_grad]
    loss = build(name, **kwargs)(*arguments)
    assert loss.ndim == 0 and loss > 0 and torch.isfinite(loss)
    for gradient in torch.autograd.grad(loss, leaves):
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def batch():
    samples = [labelled_sample(seed=0), labelled_sample(boxes=((4, 4, 60, 60),), labels=(2,), seed=1)]
    return dict(inputs=[sample.caption_view.clone() for sample in samples], data_samples=samples)


@pytest.mark.parametrize('balancer', [None, *BALANCERS])
def test_models(balancer):
    """The whole network, plain and with each balancer."""
    kwargs, optimizers = BALANCERS.get(balancer, ({}, PLAIN))
    config = tiny_model()
    config.pop('type')
    if balancer is not None:
        config['balancer'] = dict(type=f'mmyolor_mtl.{balancer}', **kwargs)
    name = 'YOLORMTL' if balancer is None else 'BalancedYOLORMTL'
    model = build(name, **config)
    model.init_weights()
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    losses = model.train_step(batch(), build_optim_wrapper(model, optimizers))
    assert all(torch.isfinite(torch.as_tensor(value)).all() for value in losses.values())
    after = model.state_dict()
    moved = {'.'.join(key.split('.')[:2]) for key, value in after.items() if not torch.equal(value, before[key])}
    assert {f'heads.{task}' for task in model.heads} <= moved and all(
        torch.isfinite(value.float()).all() for value in after.values()
    )
    other = saved_and_loaded(model, build(name, **config)).eval()
    model.eval()
    for one, two in zip(model.test_step(batch()), other.test_step(batch()), strict=True):
        assert torch.equal(one.pred_sem_seg.sem_seg, two.pred_sem_seg.sem_seg)
        assert torch.equal(one.pred_instances.bboxes, two.pred_instances.bboxes)
        assert torch.equal(one.pred_caption_ids, two.pred_caption_ids)


@pytest.mark.parametrize('part', PARTS, ids='-'.join)
def test_parts(part, scenes, tmp_path):
    PARTS[part](SimpleNamespace(scenes=scenes, folder=tmp_path), f'mmyolor_mtl.{part[1]}')
