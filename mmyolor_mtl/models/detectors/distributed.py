"""Several processes that train together."""

from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import Tensor

from ...registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class MTLDistributedDataParallel(MMDistributedDataParallel):
    """MMEngine's wrapper for a :class:`YOLORMTL` whose views run in turn; gradients are exchanged once a step.

    Arguments are those of torch's ``DistributedDataParallel``. ``broadcast_buffers=False`` leaves the statistics of
    batch norms to each process, as the reference does (REFERENCE_SPEC 4.5).
    """

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One step of the optimizer; returns the losses of the whole batch to log, the same in every process."""
        logs = self.module.run_step(self, data, optim_wrapper)
        means = torch.stack([value.detach().float() for value in logs.values()])
        all_reduce(means, op='mean')
        return dict(zip(logs, means, strict=True))
