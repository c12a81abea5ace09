"""State dicts of the reference <-> ours (REFERENCE_SPEC 7.3)."""

import re

import torch
from torch import Tensor, nn

from .keys import reference_prefixes

# Buffers of the reference that hold nothing: state of a decoding run, with its initial values.
DECODING_BUFFERS = re.compile(r'\.running_(keys|values|mask_x|seq)$')
TEXT = 'model.56.grit_transformer.cap_generator'
MAX_LISTED = 12


def key_map(model: nn.Module) -> dict[str, str]:
    """Key of each parameter and buffer of ``model`` in the reference's state dict."""
    prefixes = reference_prefixes(model)
    keys = {}
    for key in model.state_dict():
        module, _, leaf = key.rpartition('.')
        parts = [module] if module in prefixes else [module.rpartition('.')[0], module.rpartition('.')[2]]
        if parts[0] not in prefixes:
            if key.startswith('data_preprocessor.'):
                continue
            raise ValueError(f'the reference has nothing like {key}')
        leaf = 'conv.weight' if leaf == 'bins' else leaf
        keys[key] = '.'.join([prefixes[parts[0]], *parts[1:], leaf])
    return keys


def from_reference(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Translate a state dict of the reference, fused or not.

    Where convolution and norm are fused, the norm becomes one that changes nothing, so the network stays trainable.

    Args:
        state: Tensors by the reference's keys.
        model: A network built from the config that fits; its values are not used.

    Returns:
        A state dict that ``model`` loads strictly.

    Raises:
        ValueError: Keys are missing or unknown or have another shape; the message lists them.
    """
    keys = key_map(model)
    state = dict(state)
    _unfuse(state, set(keys.values()), model)
    wanted = model.state_dict()
    converted, missing, misfits = {}, [], []
    for ours, theirs in keys.items():
        value = state.pop(theirs, None)
        if value is None and theirs.endswith('num_batches_tracked'):
            value = torch.zeros((), dtype=torch.long)
        if value is None:
            missing.append(theirs)
            continue
        if ours.endswith('.bins') and value.numel() == wanted[ours].numel():
            value = value.reshape(-1)
        if value.shape != wanted[ours].shape:
            misfits.append(f'{theirs} {tuple(value.shape)}, the config has {tuple(wanted[ours].shape)}')
        converted[ours] = value.to(wanted[ours].dtype).clone()
    unknown = [key for key in state if not DECODING_BUFFERS.search(key)]
    problems = [
        _listing(title, names)
        for title, names in (('missing', missing), ('unknown', unknown), ('of another shape', misfits))
        if names
    ]
    if problems:
        raise ValueError('the checkpoint does not fit the config:\n' + '\n'.join(problems))
    return converted


def to_reference(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of ``model`` under the reference's keys, complete with the buffers that hold nothing."""
    state = model.state_dict()
    converted = {}
    for ours, theirs in key_map(model).items():
        converted[theirs] = state[ours].reshape(1, -1, 1, 1) if ours.endswith('.bins') else state[ours]
    if any(key.startswith(TEXT) for key in converted):
        decoder = model.heads['cap'].decoder
        converted[f'{TEXT}.running_mask_x'] = torch.zeros(1, 1, 0, dtype=torch.uint8)
        converted[f'{TEXT}.running_seq'] = torch.zeros(1, dtype=torch.long)
        for layer in range(len(decoder.layers)):
            for name in ('running_keys', 'running_values'):
                empty = torch.zeros(1, decoder.word.embedding_dim)
                converted[f'{TEXT}.layers.{layer}.self_att.{name}'] = empty
    return converted


def _unfuse(state: dict[str, Tensor], wanted: set[str], model: nn.Module) -> None:
    """Give every fused convolution of ``state`` a norm that changes nothing, and RepConvN its empty 1x1."""
    eps = next((module.eps for module in model.modules() if isinstance(module, nn.BatchNorm2d)), 1e-5)
    norms = {key.removesuffix('.bn.weight') for key in wanted if key.endswith('.bn.weight')}
    for name in sorted(norms):
        rep, _, branch = name.rpartition('.')
        if branch in ('conv1', 'conv2') and f'{rep}.conv.bias' in state and f'{rep}.bn.weight' not in wanted:
            weight, bias = state[f'{rep}.conv.weight'], state[f'{rep}.conv.bias']
            if branch == 'conv2':
                weight, bias = torch.zeros_like(weight[..., :1, :1]), torch.zeros_like(bias)
            state[f'{name}.conv.weight'] = weight
            _add_norm(state, name, bias, eps)
        elif f'{name}.conv.bias' in state and f'{name}.bn.weight' not in state:
            _add_norm(state, name, state.pop(f'{name}.conv.bias'), eps)
    for name in norms:
        rep, _, branch = name.rpartition('.')
        if branch == 'conv1' and f'{rep}.bn.weight' not in wanted:
            state.pop(f'{rep}.conv.weight', None)
            state.pop(f'{rep}.conv.bias', None)


def _add_norm(state: dict[str, Tensor], name: str, bias: Tensor, eps: float) -> None:
    ones = torch.ones_like(bias)
    state[f'{name}.bn.weight'], state[f'{name}.bn.bias'] = ones, bias
    state[f'{name}.bn.running_mean'], state[f'{name}.bn.running_var'] = torch.zeros_like(bias), ones - eps


def _listing(title: str, names: list[str]) -> str:
    more = f'\n  and {len(names) - MAX_LISTED} more' if len(names) > MAX_LISTED else ''
    return f'{len(names)} {title}:\n  ' + '\n  '.join(names[:MAX_LISTED]) + more
