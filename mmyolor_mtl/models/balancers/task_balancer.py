"""How the tasks of one network share a step of training."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from ...utils.task_losses import sum_by_task, task_of_loss
from ..detectors.view_training import train_views


class TaskBalancer(nn.Module):
    """Base of what :class:`BalancedYOLORMTL` trains with; this one changes nothing.

    A balancer weighs the losses where they are made, or changes the step, or both. What it learns is in its parameters
    and buffers, so that checkpoints hold it, and is the same in all processes.

    Args:
        tasks: Tasks of the model, given by it.
    """

    def __init__(self, *, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)

    def weigh(self, losses: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """The losses of one or several views, weighted; may add entries without 'loss' in their name, to log."""
        return losses

    def run_step(self, model: Any, forward: nn.Module, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One step of the optimizer, as :func:`train_views`, which see for the arguments."""
        return train_views(model, forward, data, optim_wrapper)


class LossWeighting(TaskBalancer):
    """Base of balancers that multiply the losses of each task by a weight of their own."""

    @abstractmethod
    def weight_of(self, task: str) -> Tensor:
        """Weight of a task, a scalar."""

    def weigh(self, losses: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """Multiply; the weights of the tasks in ``losses`` are added as ``weight/det`` and so on."""
        weights = {task: self.weight_of(task) for task in sum_by_task(losses)}
        weighted = {}
        for name, value in losses.items():
            task = task_of_loss(name)
            weighted[name] = value if task is None else value * weights[task]
        return {**weighted, **{f'weight/{task}': weight.detach() for task, weight in weights.items()}}


class StoredWeighting(LossWeighting):
    """Base of those whose weights are set from one step to the next; all are 1 at the start."""

    def __init__(self, *, tasks: Sequence[str]) -> None:
        super().__init__(tasks=tasks)
        self.register_buffer('weights', torch.ones(len(self.tasks), dtype=torch.float64))

    def weight_of(self, task: str) -> Tensor:
        """Weight of a task, float32."""
        return self.weights[self.tasks.index(task)].float()


def mean_over_processes(values: Tensor) -> Tensor:
    """Mean of a tensor over all processes, without a gradient: of losses, those of the whole batch."""
    values = values.detach().clone()
    all_reduce(values, op='mean')
    return values
