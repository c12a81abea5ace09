"""Loss weights that bring the gradients of the tasks to a common size."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from ...registry import MODELS
from ...utils.module_patterns import matching_modules
from ...utils.task_losses import sum_by_task
from .task_balancer import StoredWeighting, mean_over_processes


@MODELS.register_module()
class GradNorm(StoredWeighting):
    """Chen et al.: GradNorm: Gradient Normalization for Adaptive Loss Balancing (ICML 2018).

    With G the norm of a task's weighted gradient on a shared layer, r its loss relative to the first one and to the
    other tasks', the weights descend on the sum of ``|G - mean(G) r^alpha|`` after every step and keep their sum, the
    number of tasks. They rest where tasks that learn more slowly have the larger gradients. That sum is divided by
    mean(G) here, so that ``lr`` suits losses of any size. Tasks without a label in the batch keep their weight.

    Each task costs a backward pass from its head to the layer. In float16 these gradients may vanish, as they are not
    scaled; use bfloat16.

    Args:
        tasks: Tasks of the model, given by it.
        layer: Name of the shared module whose parameters G is taken of, or a pattern with ``*``; all tasks must pass
            it. The last such layer is the cheapest.
        alpha: How much a task that lags behind is favoured; 0 for gradients of one size. The paper's range is 0..2.
        lr: Step of the weights, above 0.

    Raises:
        ValueError: ``alpha`` is negative, ``lr`` is not above 0, or no module is called ``layer``.
    """

    def __init__(self, *, tasks: Sequence[str], layer: str, alpha: float = 1.5, lr: float = 0.025) -> None:
        super().__init__(tasks=tasks)
        if alpha < 0 or lr <= 0:
            raise ValueError(f'alpha={alpha} must be at least 0 and lr={lr} above 0')
        self.layer = layer
        self.alpha = alpha
        self.lr = lr
        self.register_buffer('first_losses', torch.zeros(len(self.tasks), dtype=torch.float64))
        self._step: dict[str, tuple[Tensor, Tensor]] | None = None  # loss and norm by task, while a step runs

    def weigh(self, losses: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """Multiply, and while a step runs take note of the gradients."""
        if self._step is not None:
            modules = matching_modules(model, [self.layer]).values()
            shared = list({p: None for m in modules for p in m.parameters() if p.requires_grad})
            for task, loss in sum_by_task(losses).items():
                gradients = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
                parts = [torch.zeros_like(p) if g is None else g for p, g in zip(shared, gradients, strict=True)]
                whole = mean_over_processes(torch.cat([part.flatten().float() for part in parts]))
                self._step[task] = mean_over_processes(loss), whole.norm()
        return super().weigh(losses, model)

    def run_step(self, model: Any, forward: nn.Module, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """A step with the present weights, which then learn from it."""
        self._step = {}
        try:
            logs = super().run_step(model, forward, data, optim_wrapper)
            none = torch.zeros(2)
            found = [torch.stack(self._step[task]) if task in self._step else none for task in self.tasks]
            losses, norms = torch.stack([pair.to(self.weights) for pair in found]).unbind(dim=1)
        finally:
            self._step = None
        self.learn(losses, norms)
        return logs

    def learn(self, losses: Tensor, norms: Tensor) -> None:
        """One step of the weights.

        Args:
            losses: (K,) float64, unweighted; 0 where a task had no label.
            norms: (K,) float64, norms of their gradients on the layer.
        """
        active = (losses > 0) & (norms > 0) & norms.isfinite()
        if int(active.sum()) < 2:
            return
        self.first_losses.copy_(torch.where(active & (self.first_losses == 0), losses, self.first_losses))
        weights, norms = self.weights[active], norms[active]
        progress = losses[active] / self.first_losses[active]
        sizes = weights * norms
        targets = sizes.mean() * (progress / progress.mean()) ** self.alpha
        moved = weights - self.lr * (sizes - targets).sign() * norms / sizes.mean()
        moved = moved.clamp(min=1e-3)
        self.weights[active] = moved * (weights.sum() / moved.sum())
