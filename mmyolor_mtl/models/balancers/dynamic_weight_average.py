"""Loss weights from how fast the losses fall."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from ...registry import MODELS
from ...utils.task_losses import sum_by_task
from .task_balancer import StoredWeighting, mean_over_processes


@MODELS.register_module()
class DynamicWeightAverage(StoredWeighting):
    """Liu, Johns, Davison: End-to-End Multi-Task Learning with Attention (CVPR 2019), section 3.3.

    Tasks whose losses fall more slowly get more weight: ``w = K softmax(r / T)`` over the K tasks, with r the mean loss
    of the last interval divided by that of the one before. All weigh 1 for the first two intervals. A task without a
    label in an interval counts as r = 1.

    Args:
        tasks: Tasks of the model, given by it.
        interval: Iterations of an interval; the paper's is an epoch.
        temperature: T, above 0; large ones make the weights alike.

    Raises:
        ValueError: ``interval`` is below 1, or ``temperature`` is not above 0.
    """

    def __init__(self, *, tasks: Sequence[str], interval: int, temperature: float = 2.0) -> None:
        super().__init__(tasks=tasks)
        if interval < 1 or temperature <= 0:
            raise ValueError(f'interval={interval} must be at least 1 and temperature={temperature} above 0')
        self.interval = interval
        self.temperature = temperature
        for name in ('sums', 'counts', 'last', 'before_last'):
            self.register_buffer(name, torch.zeros(len(self.tasks), dtype=torch.float64))
        self.register_buffer('iterations', torch.zeros((), dtype=torch.int64))

    def run_step(self, model: Any, forward: nn.Module, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """A step with the weights of this interval."""
        logs = super().run_step(model, forward, data, optim_wrapper)
        sums = sum_by_task(logs)
        raw = [sums[task] / logs[f'weight/{task}'] if task in sums else torch.zeros(()) for task in self.tasks]
        self.record(mean_over_processes(torch.stack([value.to(self.sums) for value in raw])))
        return logs

    def record(self, losses: Tensor) -> None:
        """Take note of the losses of an iteration, and set the weights at the end of an interval.

        Args:
            losses: (K,) float64, unweighted; 0 where a task had no label.
        """
        self.sums += losses
        self.counts += losses > 0
        self.iterations += 1
        if self.iterations % self.interval:
            return
        self.before_last.copy_(self.last)
        self.last.copy_(self.sums / self.counts.clamp(min=1))
        self.sums.zero_(), self.counts.zero_()
        if self.iterations // self.interval >= 2:
            known = (self.last > 0) & (self.before_last > 0)
            ratios = torch.where(known, self.last / self.before_last.clamp(min=1e-300), 1.0)
            self.weights.copy_(len(self.tasks) * (ratios / self.temperature).softmax(dim=0))
