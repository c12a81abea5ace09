"""Loss weights learnt as the uncertainty of the tasks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...registry import MODELS
from ...utils.task_losses import sum_by_task
from .task_balancer import LossWeighting, mean_over_processes


@MODELS.register_module()
class UncertaintyWeighting(LossWeighting):
    """Kendall, Gal, Cipolla: Multi-Task Learning Using Uncertainty to Weigh Losses (CVPR 2018).

    The sum of ``exp(-s) L + s`` over the tasks is minimised, where s is learnt by the network's optimizer and starts at
    0. For a loss that stays at L the best s is ``log L``: each task then weighs 1 / L. A task without a label in the
    whole batch does not move its s, which it would otherwise drive to minus infinity.

    Weight decay would pull s to 0: ``paramwise_cfg=dict(custom_keys={'balancer.': dict(decay_mult=0.0)})``.

    Args:
        tasks: Tasks of the model, given by it.
    """

    def __init__(self, *, tasks: Sequence[str]) -> None:
        super().__init__(tasks=tasks)
        self.log_variances = nn.Parameter(torch.zeros(len(self.tasks)))

    def weight_of(self, task: str) -> Tensor:
        """``exp(-s)``, with its gradient."""
        return (-self.log_variances[self.tasks.index(task)]).exp()

    def weigh(self, losses: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """Weigh, and add s as ``loss_det_uncertainty`` and so on."""
        raw = sum_by_task(losses)
        labelled = mean_over_processes(torch.stack([value.detach().float() for value in raw.values()])) > 0
        weighted = super().weigh(losses, model)
        for task, is_labelled in zip(raw, labelled, strict=True):
            weighted[f'loss_{task}_uncertainty'] = self.log_variances[self.tasks.index(task)] * is_labelled
        return weighted
