"""Mixed precision on any device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from ...registry import OPTIM_WRAPPERS

_DTYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16}


@OPTIM_WRAPPERS.register_module()
class MTLAmpOptimWrapper(AmpOptimWrapper):
    """MMEngine's wrapper for mixed precision, which also runs on the CPU and scales losses only where it has to.

    bfloat16 has the range of float32: gradients do not vanish in it, so its losses are left as they are. With float16
    gradients are unscaled before they are clipped.

    Args:
        dtype: 'bfloat16' or 'float16'. Weights and optimizer stay in float32.
        loss_scale: Keyword arguments of torch's ``GradScaler`` for float16, such as ``init_scale``.
        kwargs: Passed on to MMEngine's ``OptimWrapper``: ``optimizer``, ``clip_grad``, ``accumulative_counts``.

    Raises:
        ValueError: The dtype is another one, or ``loss_scale`` is given for bfloat16.
    """

    def __init__(self, dtype: str = 'bfloat16', loss_scale: dict | None = None, **kwargs: Any) -> None:
        if dtype not in _DTYPES:
            raise ValueError(f'dtype={dtype!r} of MTLAmpOptimWrapper must be one of {sorted(_DTYPES)}')
        if loss_scale is not None and dtype != 'float16':
            raise ValueError(f'loss_scale is for float16; {dtype} needs none')
        # MMEngine's own constructor refuses machines without a GPU, all else of it works on the CPU too.
        OptimWrapper.__init__(self, **kwargs)
        self.cast_dtype = _DTYPES[dtype]
        self._device = self.optimizer.param_groups[0]['params'][0].device.type
        self._scale_update_param = None
        self.loss_scaler = torch.amp.GradScaler(self._device, enabled=dtype == 'float16', **(loss_scale or {}))

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run what is inside in mixed precision, without exchange between processes while gradients accumulate."""
        with OptimWrapper.optim_context(self, model), torch.autocast(self._device, dtype=self.cast_dtype):
            yield
