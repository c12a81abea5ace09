"""State dicts go both ways without loss, and what does not fit is listed."""

import pytest
import torch

from mmyolor_mtl.models.reference import from_reference, reference_prefixes, to_reference
from mmyolor_mtl.registry import MODELS

from ..helpers import tiny_model
from .networks import NAMES, build, fill, images

SIZES = {'yolov7-af-pan': 687, 'gelan-c-pan': 1005, 'gyolo': 2516}


@pytest.fixture(scope='module', params=NAMES)
def model(request):
    made = build(request.param)
    made.name = request.param
    return made


def test_round_trip_is_exact(model):
    reference = to_reference(model)
    assert len(reference) == SIZES.get(model.name, len(reference))
    back = from_reference(reference, model)
    ours = {key: value for key, value in model.state_dict().items() if not key.startswith('data_preprocessor')}
    assert set(back) == set(ours)
    assert all(torch.equal(back[key], value) for key, value in ours.items())
    again = to_reference(build(model.name))
    assert {key: value.shape for key, value in again.items()} == {k: v.shape for k, v in reference.items()}


def test_no_two_modules_share_a_place(model):
    prefixes = reference_prefixes(model)
    assert len(set(prefixes.values())) == len(prefixes)


@pytest.fixture(scope='module')
def small():
    """A narrow network of the reference's layout, quick to build."""
    torch.manual_seed(0)
    cfg = tiny_model()
    cfg['heads'].pop('cap')
    cfg['heads']['sem']['hidden_channels'] = 8
    made = MODELS.build(
        {**cfg, 'backbone': dict(type='mmyolor_mtl.ELANBackbone', widen_factor=1 / 16)}
        | {'neck': dict(type='mmyolor_mtl.ELANPAFPN', in_channels=(32, 64, 64), widen_factor=1 / 16)}
    )
    return made.eval()


@pytest.mark.parametrize('missing', [True, False])
def test_misfits_are_listed(small, missing):
    state = to_reference(small)
    state['model.200.conv.weight'] = torch.ones(1)
    state['model.0.conv.weight'] = torch.ones(1)
    if missing:
        del state['model.105.cv2.0.2.bias']
    with pytest.raises(ValueError) as error:
        from_reference(state, small)
    text = str(error.value)
    assert '1 unknown:\n  model.200.conv.weight' in text
    assert 'model.0.conv.weight (1,), the config has (8, 3, 3, 3)' in text
    assert ('1 missing:\n  model.105.cv2.0.2.bias' in text) == missing


def test_another_network_is_refused(small):
    other = build('gelan-c')
    with pytest.raises(ValueError, match='missing'):
        from_reference(to_reference(small), other)


def test_networks_that_the_reference_does_not_have():
    cfg = tiny_model()
    with pytest.raises(ValueError, match='caption head in gyolo alone'):
        reference_prefixes(MODELS.build(cfg))
    cfg['heads'].pop('cap')
    cfg['heads']['sem'].update(hidden_channels=8, num_levels=2)
    with pytest.raises(ValueError, match='no semantic head on several levels'):
        reference_prefixes(MODELS.build(cfg))
    cfg['backbone'] = dict(type='mmyolor_mtl.GELANBackbone', widen_factor=1 / 16)
    cfg['neck']['in_channels'] = (32, 32, 32)
    with pytest.raises(ValueError, match='no network of GELANBackbone and ELANPAFPN'):
        reference_prefixes(MODELS.build(cfg))


def test_implicit_knowledge_has_its_own_keys(small):
    cfg = tiny_model()
    cfg['heads'] = dict(det={**cfg['heads']['det'], 'implicit': True})
    cfg['test_cfg'] = {}
    state = to_reference(MODELS.build(cfg))
    assert {'model.105.ia2.0.implicit', 'model.105.im3.2.implicit', 'model.105.cv2.0.0.conv.weight'} <= set(state)


@pytest.mark.parametrize('name', ['yolov7-af-pan', 'gyolo'])
def test_fused_weights_give_the_same_outputs(name):
    """Reference-style fusion: norms folded into convolutions, RepConvN one convolution."""
    model = build(name)
    fill(model)
    state = fuse(to_reference(model))
    assert not any('.bn.' in key for key in state)
    other = build(name)
    other.load_state_dict(from_reference(state, other))
    with torch.no_grad():
        x = images(3, 64, 96, batch=1)
        expected, outputs = model(x, mode='tensor'), other(x, mode='tensor')
    for key, value in expected.items():
        assert (outputs[key] - value).abs().max() <= 1e-3 * value.abs().max(), key


def fuse(state):
    """What the reference makes of its weights at load (REFERENCE_SPEC 7.4), written down once more."""
    fused = {key: value for key, value in state.items() if '.bn.' not in key}
    for key in [key for key in state if key.endswith('.bn.weight')]:
        name = key.removesuffix('.bn.weight')
        mean, var = state[f'{name}.bn.running_mean'], state[f'{name}.bn.running_var']
        scale = state[key] / (var + 1e-3).sqrt()
        fused[f'{name}.conv.weight'] = state[f'{name}.conv.weight'] * scale[:, None, None, None]
        fused[f'{name}.conv.bias'] = state[f'{name}.bn.bias'] - mean * scale
    for key in [key for key in fused if key.endswith('.conv2.conv.weight')]:
        name = key.removesuffix('.conv2.conv.weight')
        weight = fused.pop(f'{name}.conv1.conv.weight')
        weight = weight + torch.nn.functional.pad(fused.pop(key), (1, 1, 1, 1))
        fused[f'{name}.conv.weight'] = weight
        fused[f'{name}.conv.bias'] = fused.pop(f'{name}.conv1.conv.bias') + fused.pop(f'{name}.conv2.conv.bias')
    return fused
