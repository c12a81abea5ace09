"""Checkpoints of the reference become ours and go back, through the command lines."""

import importlib.util
import os
import sys
from types import ModuleType

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmyolor_mtl.models.reference import to_reference
from mmyolor_mtl.registry import MODELS

SMALL = """
_base_ = ['{root}/configs/reference/{name}.py']
model = dict(
    backbone=dict(widen_factor=1 / 16),
    neck=dict(in_channels={backbone}, widen_factor=1 / 16),
    heads=dict(
        det=dict(in_channels={neck}), ins=dict(in_channels={neck}, proto_channels=16), sem=dict(in_channels={neck})
    ),
)
"""


@pytest.fixture(scope='module')
def tools(repo_root):
    found = {}
    for name in ('reference_to_mmyolor', 'mmyolor_to_reference'):
        path = repo_root / 'tools' / 'model_converters' / f'{name}.py'
        spec = importlib.util.spec_from_file_location(name, path)
        found[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[name])
    return found


@pytest.fixture(scope='module', params=['yolov7-af-pan', 'gelan-c-pan'])
def config(request, repo_root, tmp_path_factory):
    backbone, neck = {
        'yolov7-af-pan': ((32, 64, 64), (16, 32, 64)),
        'gelan-c-pan': ((32, 32, 32), (16, 32, 32)),
    }[request.param]
    path = tmp_path_factory.mktemp('config') / f'small_{request.param}.py'
    path.write_text(SMALL.format(root=repo_root, name=request.param, backbone=backbone, neck=neck))
    return path


@pytest.fixture(scope='module')
def model(config):
    torch.manual_seed(1)
    made = MODELS.build(Config.fromfile(config).model).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.weight, 0.8, 1.2)
    return made


FOREIGN = ModuleType('models.yolo')
FOREIGN.Model = type('Model', (nn.Module,), {'__module__': 'models.yolo', '__qualname__': 'Model'})


def as_modules(state):
    """A tree of modules with these tensors, as the reference would pickle it."""
    root = FOREIGN.Model()
    for key, value in state.items():
        *path, leaf = key.split('.')
        node = root
        for name in path:
            if name not in node._modules:
                node.add_module(name, nn.Module())
            node = node._modules[name]
        if value.is_floating_point() and 'running' not in leaf:
            node.register_parameter(leaf, nn.Parameter(value.clone()))
        else:
            node.register_buffer(leaf, value.clone())
    return root


def save(content, path):
    """Pickle while the foreign classes exist, and only then."""
    sys.modules.update({'models': ModuleType('models'), 'models.yolo': FOREIGN})
    try:
        torch.save(content, path)
    finally:
        sys.modules.pop('models', None), sys.modules.pop('models.yolo', None)


def outputs(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return model(torch.rand(1, 3, 64, 96, generator=generator), mode='tensor')


def scrambled(state):
    return {k: v + 1 if v.is_floating_point() else v for k, v in state.items()}


@pytest.mark.parametrize('kind', ['state_dict', 'model', 'ema', 'half'])
def test_conversion_keeps_every_prediction(tools, config, model, tmp_path, kind):
    state = to_reference(model)
    if kind == 'state_dict':
        torch.save(state, tmp_path / 'a.pt')
    elif kind == 'ema':
        save(dict(epoch=3, model=as_modules(scrambled(state)), ema=as_modules(state), updates=9), tmp_path / 'a.pt')
    else:
        network = as_modules(state)
        save(dict(epoch=-1, model=network.half() if kind == 'half' else network, ema=None), tmp_path / 'a.pt')
    tools['reference_to_mmyolor'].main([str(tmp_path / 'a.pt'), str(tmp_path / 'b.pth'), '--config', str(config)])

    converted = torch.load(tmp_path / 'b.pth', weights_only=True)
    other = MODELS.build(Config.fromfile(config).model).eval()
    other.load_state_dict(converted['state_dict'])
    expected = model
    if kind == 'half':
        expected = MODELS.build(Config.fromfile(config).model).eval()
        rounded = {k: v.half().float() if v.is_floating_point() else v for k, v in model.state_dict().items()}
        expected.load_state_dict(rounded)
    expected, found = outputs(expected), outputs(other)
    assert set(found) == {'cls_logits', 'box_dists', 'mask_coefs', 'mask_protos', 'sem_logits'}
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert converted['meta']['source'] == 'a.pt' and len(converted['meta']['dataset_meta']['classes']) == 80
    assert sorted(os.listdir(tmp_path)) == ['a.pt', 'b.pth']


def test_there_and_back(tools, config, model, tmp_path):
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'ours.pth')
    tools['mmyolor_to_reference'].main(
        [str(tmp_path / 'ours.pth'), str(tmp_path / 'theirs.pt'), '--config', str(config)]
    )
    tools['reference_to_mmyolor'].main(
        [str(tmp_path / 'theirs.pt'), str(tmp_path / 'back.pth'), '--config', str(config)]
    )
    back = torch.load(tmp_path / 'back.pth', weights_only=True)['state_dict']
    assert all(torch.equal(back[key], value) for key, value in model.state_dict().items() if key in back)
    assert len(back) == len([key for key in model.state_dict() if not key.startswith('data_preprocessor')])


def test_inspect(tools, model, tmp_path, capsys):
    state = to_reference(model)
    save(dict(model=as_modules(state)), tmp_path / 'a.pt')
    tools['reference_to_mmyolor'].main([str(tmp_path / 'a.pt'), '--inspect'])
    printed = capsys.readouterr().out
    assert 'model.0 ' in printed and 'Module' in printed
    assert f'{sum(value.numel() for value in state.values()):,}' in printed.splitlines()[-1]


def broken(kind, state, path):
    if kind == 'code':
        import os as system

        class Trap:
            def __reduce__(self):
                return (system.system, (f'touch {path.parent / "ran"}',))

        torch.save(dict(model=state, trap=Trap()), path)
    elif kind == 'truncated':
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:-2000])
    else:
        torch.save({f'model.{i}.conv.weight': torch.ones(2, 2, 1, 1) for i in range(30)}, path)


@pytest.mark.parametrize(
    ('kind', 'message'),
    [('code', 'may try to run code'), ('truncated', 'damaged'), ('another network', r'\d+ missing:')],
)
def test_refusals_leave_no_file(tools, config, model, tmp_path, kind, message):
    broken(kind, to_reference(model), tmp_path / 'a.pt')
    with pytest.raises(SystemExit, match=message):
        tools['reference_to_mmyolor'].main([str(tmp_path / 'a.pt'), str(tmp_path / 'b.pth'), '--config', str(config)])
    assert os.listdir(tmp_path) == ['a.pt']


def test_command_line(tools, config, tmp_path, capsys):
    for arguments in (['a.pt'], ['a.pt', 'b.pth'], ['a.pt', 'b.pth', '--config', 'none.py']):
        with pytest.raises(SystemExit):
            tools['reference_to_mmyolor'].main(arguments)
    with pytest.raises(SystemExit, match='there is no checkpoint'):
        tools['reference_to_mmyolor'].main([str(tmp_path / 'a.pt'), '--inspect'])
    torch.save({'backbone.x': torch.ones(1)}, tmp_path / 'ours.pth')
    with pytest.raises(SystemExit, match='is not converted'):
        tools['mmyolor_to_reference'].main([str(tmp_path / 'ours.pth'), str(tmp_path / 'b'), '--config', str(config)])
    assert os.listdir(tmp_path) == ['ours.pth']
