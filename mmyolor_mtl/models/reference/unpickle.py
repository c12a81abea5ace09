"""Read checkpoints of foreign code without running any of it.

The reference saves whole modules. Unpickling them the usual way imports their classes, and a pickle can name any
function to call. Here tensors are rebuilt by torch, a short list of harmless containers is what it says, classes of
networks become empty shells that only keep what they are given, and every other name ends the reading.
"""

import pickle
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

# Packages whose classes a checkpoint of the reference names: they become shells.
SHELL_PACKAGES = (
    *('models', 'utils', '__main__', 'torch.nn', 'torch.optim'),
    *('numpy', '_codecs', 'argparse', 'pathlib', 'datetime'),
)
# What is rebuilt for real: nothing here can do more than hold data.
REAL = {
    ('collections', 'OrderedDict'): OrderedDict,
    **{('builtins', kind.__name__): kind for kind in (set, frozenset, slice, complex, bytearray)},
    **{('__builtin__', kind.__name__): kind for kind in (set, frozenset, slice, complex, bytearray)},
}
TORCH_UTILS = (
    '_rebuild_tensor',
    '_rebuild_tensor_v2',
    '_rebuild_tensor_v3',
    '_rebuild_parameter',
    '_rebuild_parameter_with_state',
)


class Shell:
    """Stands for an object of a class that is not imported: keeps its attributes, does nothing.

    ``__init__`` never runs; ``type(shell).__name__`` is the name of the class, ``type(shell).__module__`` its module.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> 'Shell':
        """An empty shell, whatever the pickle passes."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.__dict__.update(part)

    def extend(self, items: Any) -> None:
        """Items of a list whose class is not known are left aside."""

    append = __setitem__ = lambda self, *args: None


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickler that finds shells, tensors and containers, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """The class or function of a name in the pickle.

        Raises:
            pickle.UnpicklingError: The name is none of those that a checkpoint needs.
        """
        if (module, name) in REAL:
            return REAL[module, name]
        if module == 'torch._utils' and name in TORCH_UTILS:
            return getattr(torch._utils, name)
        if module == 'torch' and (name in ('Size', 'device') or isinstance(getattr(torch, name, None), torch.dtype)):
            return getattr(torch, name)
        if any(module == package or module.startswith(f'{package}.') for package in SHELL_PACKAGES):
            return type(name, (Shell,), {'__module__': module})
        raise pickle.UnpicklingError(
            f'it asks for {module}.{name}, which no checkpoint of the reference needs; the file may try to run code'
        )


def _load(file: Any, **kwargs: Any) -> Any:
    return RestrictedUnpickler(file, **kwargs).load()


PICKLE = SimpleNamespace(Unpickler=RestrictedUnpickler, load=_load, __name__='restricted pickle')


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], Any]:
    """Read the tensors of a checkpoint: pickled modules, EMA or not, or a state dict.

    Of a dict with modules the averaged one (``ema``) is taken where there is one, else ``model``, as the reference
    does.

    Args:
        path: The file.

    Returns:
        ``(state, module)``: tensors by key, floating ones in float32, with the prefix ``model.``; and the shell of the
        network, None for a state dict.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, asks for something else than tensors and modules, or holds no network.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}')
    try:
        content = torch.load(path, map_location='cpu', pickle_module=PICKLE, weights_only=False)
    except pickle.UnpicklingError as error:
        raise ValueError(f'{path} was not read: {error}') from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise ValueError(f'{path} is damaged or no checkpoint ({type(error).__name__}: {error})') from error
    network = content
    if isinstance(content, dict):
        kinds = [content.get(kind) for kind in ('ema', 'model', 'state_dict')]
        network = next((kind for kind in kinds if kind is not None), content)
    state = dict(walk(network)) if isinstance(network, Shell) else network
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f'{path} holds no network: expected a module under ema or model, or a state dict')
    tensors = {_strip(key): value for key, value in state.items() if isinstance(value, Tensor)}
    state = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    return state, network if isinstance(network, Shell) else None


def walk(module: Any, prefix: str = '') -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of a shell by key, as ``state_dict`` names them."""
    for kind in ('_parameters', '_buffers'):
        skipped = getattr(module, '_non_persistent_buffers_set', ()) if kind == '_buffers' else ()
        for name, tensor in getattr(module, kind, {}).items():
            if isinstance(tensor, Tensor) and name not in skipped:
                yield prefix + name, tensor.detach()
    for name, child in getattr(module, '_modules', {}).items():
        if child is not None:
            yield from walk(child, f'{prefix}{name}.')


def _strip(key: str) -> str:
    """Without what DataParallel puts in front."""
    return key.removeprefix('module.')
