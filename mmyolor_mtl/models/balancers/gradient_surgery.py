"""Gradients of the shared trunk combined so that tasks do not undo each other's steps."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce_params, get_world_size
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from ...registry import MODELS
from ...utils.task_losses import sum_by_task
from ..detectors.view_training import add_gradients, losses_of_views, train_views, view_passes
from .gradient_combination import conflict_averse, project_conflicts
from .task_balancer import TaskBalancer


class GradientSurgery(TaskBalancer):
    """Base of methods that combine the gradients of the tasks on the shared trunk.

    Each task runs backward by itself; backbone, neck and auxiliary branch get a combination of the tasks' gradients,
    the heads the sum as ever. Several processes exchange the gradients of each task first and then all find the same
    combination of those of the whole batch. The trunk's gradients are kept once for each task until then.
    """

    def run_step(self, model: Any, forward: nn.Module, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One step of the optimizer; adds the factors of the tasks' gradients to the log, as ``weight/det``..."""
        parts = [part for part in (model.backbone, model.neck, model.auxiliary) if part is not None]
        shared = [p for part in parts for p in part.parameters() if p.requires_grad]
        if not shared:
            return train_views(model, forward, data, optim_wrapper)
        with optim_wrapper.optim_context(forward):
            data = model.data_preprocessor(data, True)
        accumulated = _take(shared)
        logs: dict[str, Tensor] = {}
        total: Any = 0
        gradients: dict[str, list[Tensor]] = {}
        for views in view_passes(model):
            _, log = losses_of_views(model, forward, data, optim_wrapper, views, exchange=False)
            total = total + log.pop('loss')
            logs.update(log)
            tasks = sum_by_task(log)
            for task, value in tasks.items():
                add_gradients(optim_wrapper, value, retain_graph=task != next(reversed(tasks)))
                gradients[task] = _take(shared, zeros=True)
                all_reduce_params(gradients[task], op='mean')
        factors = self.combine(_products(list(gradients.values())))
        for i, (parameter, before) in enumerate(zip(shared, accumulated, strict=True)):
            mixed = sum(f * g[i] for f, g in zip(factors.tolist(), gradients.values(), strict=True))
            parameter.grad = mixed if before is None else before + mixed
        _exchange([p for p in model.parameters() if p.requires_grad], beside=shared)
        optim_wrapper._inner_count += 1
        if optim_wrapper.should_update():
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        weights = {f'weight/{task}': factor.to(total) for task, factor in zip(gradients, factors, strict=True)}
        return {**logs, **weights, 'loss': total}

    @abstractmethod
    def combine(self, products: Tensor) -> Tensor:
        """Factors (K,) float64 of the K gradients, from their inner products (K, K) float64."""


@MODELS.register_module()
class PCGrad(GradientSurgery):
    """Yu et al.: Gradient Surgery for Multi-Task Learning (NeurIPS 2020).

    The gradient of each task loses the part that runs against another task's gradient, task by task in random order;
    the sum of what is left is the step. The order follows from ``seed`` and the number of the step alone.

    Args:
        tasks: Tasks of the model, given by it.
        seed: Of the random orders.
    """

    def __init__(self, *, tasks: Sequence[str], seed: int = 0) -> None:
        super().__init__(tasks=tasks)
        self.seed = seed
        self.register_buffer('steps', torch.zeros((), dtype=torch.int64))

    def combine(self, products: Tensor) -> Tensor:
        """Project in the order of this step."""
        generator = torch.Generator().manual_seed(self.seed + int(self.steps))
        self.steps += 1
        count = len(products)
        orders = [torch.randperm(count, generator=generator).tolist() for _ in range(count)]
        return project_conflicts(products, orders)


@MODELS.register_module()
class CAGrad(GradientSurgery):
    """Liu et al.: Conflict-Averse Gradient Descent for Multi-task Learning (NeurIPS 2021).

    Of all steps within ``c`` times the norm of the mean gradient around it, the one that lowers the worst-off task's
    loss most. The factors are K times the paper's, as losses are summed here and not averaged: ``c=0`` is plain
    training.

    Args:
        tasks: Tasks of the model, given by it.
        c: 0 <= c < 1; the larger, the more the step may leave the mean gradient.

    Raises:
        ValueError: ``c`` is out of range.
    """

    def __init__(self, *, tasks: Sequence[str], c: float = 0.5) -> None:
        super().__init__(tasks=tasks)
        if not 0 <= c < 1:
            raise ValueError(f'c={c} must be at least 0 and below 1')
        self.c = c

    def combine(self, products: Tensor) -> Tensor:
        """Solve the dual problem."""
        return conflict_averse(products, self.c)


def _take(parameters: list[nn.Parameter], zeros: bool = False) -> list[Any]:
    """The gradients of parameters, which are left without one; zeros or None where there was none."""
    gradients = [torch.zeros_like(p) if zeros and p.grad is None else p.grad for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return gradients


def _products(gradients: list[list[Tensor]]) -> Tensor:
    """Inner products (K, K) float64 on the CPU of K gradients, each a list of tensors."""
    total: Any = 0
    for tensors in zip(*gradients, strict=True):
        rows = torch.stack([tensor.flatten().float() for tensor in tensors])
        total = total + (rows @ rows.T).double()
    return total.cpu()


def _exchange(parameters: list[nn.Parameter], beside: list[nn.Parameter]) -> None:
    """Mean over all processes of the gradients of parameters but those ``beside``, which have it already."""
    if get_world_size() == 1:
        return
    known = set(beside)
    others = [parameter for parameter in parameters if parameter not in known]
    for parameter in others:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    all_reduce_params([parameter.grad for parameter in others], op='mean')
