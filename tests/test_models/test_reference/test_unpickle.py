"""Foreign checkpoints are read without running anything of them."""

import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from mmyolor_mtl.models.reference import read_checkpoint


@pytest.fixture
def foreign(monkeypatch):
    """Classes of modules that exist while a checkpoint is written, and no longer when it is read."""
    made = {}
    for name in ('models', 'models.common', 'models.yolo'):
        made[name] = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, made[name])

    def define(module, name, base=nn.Module):
        if hasattr(made[module], name):
            return getattr(made[module], name)
        kind = type(name, (base,), {'__module__': module, '__qualname__': name})
        setattr(made[module], name, kind)
        return kind

    yield define


class Tracer:
    """Pickles to a call that would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


class Command:
    """Pickles to a shell command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        import os

        return (os.system, (f'touch {self.path}',))


def network(define):
    conv_class, model_class = define('models.common', 'Conv'), define('models.yolo', 'DetectionModel')
    block = conv_class()
    block.conv, block.bn, block.act = nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4), nn.SiLU()
    model = model_class()
    model.model = nn.Sequential(block)
    model.names, model.yaml, model.stride = {0: 'person'}, {'nc': 1}, torch.tensor([8.0])
    model.register_buffer('scratch', torch.ones(1), persistent=False)
    return model


def test_modules_become_tensors(tmp_path, foreign):
    model = network(foreign)
    expected = model.state_dict()
    torch.save(dict(epoch=-1, model=model.half(), ema=None, optimizer=None, date='today'), tmp_path / 'a.pt')
    for name in ('models', 'models.common', 'models.yolo'):
        del sys.modules[name]
    state, shell = read_checkpoint(tmp_path / 'a.pt')
    assert 'models' not in sys.modules
    assert set(state) == set(expected)
    assert all(value.dtype == torch.float32 for key, value in state.items() if 'num_batches' not in key)
    assert torch.equal(state['model.0.conv.weight'], expected['model.0.conv.weight'].half().float())
    assert (type(shell).__name__, type(shell).__module__) == ('DetectionModel', 'models.yolo')
    assert shell.names == {0: 'person'} and type(shell._modules['model']._modules['0']).__name__ == 'Conv'


def test_averaged_weights_are_preferred(tmp_path, foreign):
    model, averaged = network(foreign), network(foreign)
    torch.save(dict(model=model, ema=averaged, updates=3), tmp_path / 'a.pt')
    state, _ = read_checkpoint(tmp_path / 'a.pt')
    assert torch.equal(state['model.0.conv.weight'], averaged.state_dict()['model.0.conv.weight'])


@pytest.mark.parametrize('wrap', [lambda s: s, lambda s: dict(state_dict=s), lambda s: dict(model=s)])
@pytest.mark.parametrize('legacy', [False, True])
def test_state_dicts(tmp_path, wrap, legacy):
    state = OrderedDict({'module.model.0.weight': torch.ones(2)})
    torch.save(wrap(state), tmp_path / 'a.pt', _use_new_zipfile_serialization=not legacy)
    read, shell = read_checkpoint(tmp_path / 'a.pt')
    assert list(read) == ['model.0.weight'] and shell is None


@pytest.mark.parametrize('trap', [Tracer, Command])
@pytest.mark.parametrize('legacy', [False, True])
def test_code_is_not_run(tmp_path, trap, legacy):
    content = dict(model={'model.0.weight': torch.ones(1)}, extra=trap(tmp_path / 'traced'))
    torch.save(content, tmp_path / 'evil.pt', _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r'evil\.pt was not read: it asks for .*may try to run code'):
        read_checkpoint(tmp_path / 'evil.pt')
    assert not (tmp_path / 'traced').exists()


@pytest.mark.parametrize('name', ['eval', 'exec', 'getattr', '__import__', 'open'])
def test_builtins_that_do_things_are_refused(tmp_path, name):
    (tmp_path / 'evil.pt').write_bytes(b'cbuiltins\n' + name.encode() + b'\n.')
    with pytest.raises(ValueError, match='not read|damaged'):
        read_checkpoint(tmp_path / 'evil.pt')


def test_shells_do_not_become_what_they_stand_for(tmp_path):
    """A name below an allowed package that is a function: numpy.load, torch.nn.init..."""
    payload = pickle.dumps(0)[:-2] + b'cnumpy\nsave\n(V' + str(tmp_path / 'x.npy').encode() + b'\nI1\ntR.'
    (tmp_path / 'evil.pt').write_bytes(payload)
    with pytest.raises(ValueError):
        read_checkpoint(tmp_path / 'evil.pt')
    assert not (tmp_path / 'x.npy').exists()


@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.99])
def test_truncated_files(tmp_path, share):
    torch.save({'model.0.weight': torch.rand(1000)}, tmp_path / 'a.pt')
    content = (tmp_path / 'a.pt').read_bytes()
    (tmp_path / 'a.pt').write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r'a\.pt is damaged or no checkpoint'):
        read_checkpoint(tmp_path / 'a.pt')


def test_files_without_a_network(tmp_path):
    torch.save(dict(model=None, ema=None, epoch=3), tmp_path / 'a.pt')
    with pytest.raises(ValueError, match='holds no network'):
        read_checkpoint(tmp_path / 'a.pt')
    with pytest.raises(FileNotFoundError, match=r'there is no checkpoint .*none\.pt'):
        read_checkpoint(tmp_path / 'none.pt')
    (tmp_path / 'text.pt').write_text('not a checkpoint')
    with pytest.raises(ValueError, match='text.pt'):
        read_checkpoint(tmp_path / 'text.pt')
