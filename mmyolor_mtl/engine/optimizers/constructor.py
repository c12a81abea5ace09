"""Few parameter groups, each of one kind and one part of the network; gradients clipped part by part."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import MessageHub
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ...registry import OPTIM_WRAPPER_CONSTRUCTORS

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
_RULES = {'norm_decay_mult', 'bias_decay_mult', 'custom_keys'}
_CUSTOM = {'lr_mult', 'decay_mult', 'max_norm'}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MTLOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """As MMEngine's, with parameters of equal settings in one group and with gradient clipping by part.

    MMEngine makes a group of every parameter, which costs an optimizer its fused steps. Here a group holds all
    parameters with the same learning rate, weight decay, ``kind`` and ``part``, which it carries as entries: ``kind``
    is 'bias', 'norm' (weights of norms) or 'weight' (all others), ``part`` the custom key whose ``max_norm`` clips it,
    or ''.

    ``paramwise_cfg`` takes ``norm_decay_mult``, ``bias_decay_mult`` and ``custom_keys``, a dict by parts of parameter
    names:

    - ``lr_mult``, ``decay_mult``: factors; those of all keys in a name and that of its kind are multiplied (with
      MMEngine, a key cancels the rules for norms and biases).
    - ``max_norm``: the gradients of these parameters are clipped to this norm, apart from all others, which
      ``clip_grad`` of the wrapper is for. MMEngine's wrappers clip after unscaling and once accumulation is complete.

    Raises:
        ValueError: An entry of ``paramwise_cfg`` is unknown, two keys with ``max_norm`` meet in one name, or
            ``max_norm`` is used without ``clip_grad=dict(max_norm=...)``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        # Without any rules MMEngine would make no groups.
        super().__init__(optim_wrapper_cfg, paramwise_cfg or {'custom_keys': {}})

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        unknown = set(self.paramwise_cfg) - _RULES
        for rule in self.paramwise_cfg.get('custom_keys', {}).values():
            unknown |= set(rule) - _CUSTOM
        if unknown:
            raise ValueError(f'paramwise_cfg takes {sorted(_RULES)} with {sorted(_CUSTOM)}, got {sorted(unknown)}')
        clip = self.optim_wrapper_cfg.get('clip_grad') or {}
        if self._limits() and (clip.get('type', 'norm') != 'norm' or 'max_norm' not in clip):
            raise ValueError('max_norm in paramwise_cfg.custom_keys needs optim_wrapper.clip_grad=dict(max_norm=...)')

    def _limits(self) -> dict[str, float]:
        keys = self.paramwise_cfg.get('custom_keys', {})
        return {key: rule['max_norm'] for key, rule in keys.items() if 'max_norm' in rule}

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = '', is_dcn_module: int | float | None = None
    ) -> None:
        """Append the groups of all trained parameters of a module."""
        groups: dict[tuple, dict] = {}
        seen: set[int] = set()
        for path, owner in module.named_modules(prefix=prefix):
            for name, parameter in owner.named_parameters(recurse=False):
                if not parameter.requires_grad or id(parameter) in seen:
                    continue
                seen.add(id(parameter))
                settings = self._settings(f'{path}.{name}' if path else name, _kind(owner, name))
                group = groups.setdefault(tuple(settings.items()), {'params': [], **settings})
                group['params'].append(parameter)
        params.extend(groups.values())

    def _settings(self, name: str, kind: str) -> dict[str, Any]:
        """Entries of the group that a parameter belongs to."""
        keys = {key: rule for key, rule in self.paramwise_cfg.get('custom_keys', {}).items() if key in name}
        parts = [key for key, rule in keys.items() if 'max_norm' in rule]
        if len(parts) > 1:
            raise ValueError(f'max_norm is given for {name} by several custom keys: {sorted(parts)}')
        settings: dict[str, Any] = {'kind': kind, 'part': parts[0] if parts else ''}
        decay = self.paramwise_cfg.get(f'{kind}_decay_mult', 1.0)
        rate = 1.0
        for rule in keys.values():
            rate *= rule.get('lr_mult', 1.0)
            decay *= rule.get('decay_mult', 1.0)
        if self.base_lr is not None:
            settings['lr'] = self.base_lr * rate
        if self.base_wd is not None:
            settings['weight_decay'] = self.base_wd * decay
        return settings

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer and its wrapper."""
        wrapper = super().__call__(model)
        if self._limits():
            parts = {p: group['part'] for group in wrapper.optimizer.param_groups for p in group['params']}
            wrapper.clip_func = _ClipByPart(parts, self._limits())
        return wrapper


def _kind(owner: nn.Module, name: str) -> str:
    if name.endswith('bias'):
        return 'bias'
    return 'norm' if isinstance(owner, _NORMS) else 'weight'


class _ClipByPart:
    """What a wrapper calls in place of ``clip_grad_norm_``.

    Args:
        parts: Part of each parameter.
        limits: Largest norm of each part that has its own.
    """

    def __init__(self, parts: Mapping[nn.Parameter, str], limits: Mapping[str, float]) -> None:
        self.parts = parts
        self.limits = limits

    def __call__(self, params: list[nn.Parameter], max_norm: float, **kwargs: Any) -> Tensor:
        """Clip each part; returns the norm that the gradients of no part had, to log (the wrapper does)."""
        members: dict[str, list[nn.Parameter]] = {'': [], **{part: [] for part in self.limits}}
        for parameter in params:
            members[self.parts[parameter]].append(parameter)
        hub = MessageHub.get_current_instance()
        for part, limit in self.limits.items():
            norm = torch.nn.utils.clip_grad_norm_(members[part], limit, **kwargs)
            hub.update_scalar(f'train/grad_norm/{part.strip(".")}', float(norm))
        return torch.nn.utils.clip_grad_norm_(members[''], max_norm, **kwargs)
