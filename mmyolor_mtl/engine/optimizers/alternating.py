"""Two optimizers: one of the trunk and the vision heads, one of the caption head."""

import copy
from typing import Any

from mmengine.optim import OptimWrapperDict
from torch import nn

from ...registry import OPTIM_WRAPPER_CONSTRUCTORS
from .constructor import MTLOptimWrapperConstructor

_KEYS = ('vision', 'language')


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class AlternatingOptimWrapperConstructor:
    """Builds the two optimizers that :class:`AlternatingSteps` takes turns with (REFERENCE_SPEC 4.5).

    Where they scale losses, they share the scale, as gradients of both meet on the trunk.

    Args:
        optim_wrapper_cfg: ``vision`` and ``language``, each a config as for :class:`MTLOptimWrapperConstructor`. In
            ``language``, names of parameters begin inside the caption head.
        paramwise_cfg: None; each of the two has its own.

    Raises:
        ValueError: There are other keys, ``accumulative_counts`` is not 1, or the model has no caption head.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        if set(optim_wrapper_cfg) != set(_KEYS) or paramwise_cfg is not None:
            raise ValueError(f'optim_wrapper takes constructor and {_KEYS}, got {sorted(optim_wrapper_cfg)}')
        if any(cfg.get('accumulative_counts', 1) != 1 for cfg in optim_wrapper_cfg.values()):
            raise ValueError('steps in turn are taken every iteration; accumulative_counts must be 1')
        self.configs = optim_wrapper_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build both for a :class:`YOLORMTL`."""
        model = getattr(model, 'module', model)
        heads: Any = model.heads
        if 'cap' not in heads:
            raise ValueError('AlternatingOptimWrapperConstructor needs a model with a caption head')
        rest = copy.copy(model)  # the same modules but for the caption head
        others = nn.ModuleDict({task: head for task, head in heads.items() if task != 'cap'})
        rest._modules = {**model._modules, 'heads': others}
        wrappers = {}
        for key, part in zip(_KEYS, (rest, heads['cap']), strict=True):
            config = dict(self.configs[key])
            paramwise_cfg = config.pop('paramwise_cfg', None)
            wrappers[key] = MTLOptimWrapperConstructor(config, paramwise_cfg)(part)
        if hasattr(wrappers['vision'], 'loss_scaler'):
            wrappers['language'].loss_scaler = wrappers['vision'].loss_scaler
        return OptimWrapperDict(**wrappers)
