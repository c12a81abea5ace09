"""Vision and language trained in turn, each by an optimizer of its own, as GYOLO was."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from ...registry import MODELS
from ..detectors.view_training import losses_of_views
from ..heads.base_head import zero_loss
from .task_balancer import TaskBalancer


@MODELS.register_module()
class AlternatingSteps(TaskBalancer):
    """Two steps an iteration: trunk and vision heads by the vision losses, then the caption head by the captions.

    The schedule of GYOLO's released code (REFERENCE_SPEC 4.5). The gradient that captions leave on the trunk is clipped
    and kept, and takes part in the next vision step.

    With float16, the released code clips it while it is still multiplied by the loss scale, 65,536 at the start: after
    unscaling hardly anything is left of it, and the captions do not train the trunk. Here its true norm is clipped.

    The two optimizers come from
    ``optim_wrapper=dict(constructor='mmyolor_mtl.AlternatingOptimWrapperConstructor', vision=..., language=...)``.

    Args:
        tasks: Tasks of the model, given by it.
        trunk_max_norm: Largest norm of the gradient that captions leave.
        clip_scaled: Clip it in units of the loss scale, to reproduce the released code.

    Raises:
        ValueError: The model has no vision head or no caption head, or ``trunk_max_norm`` is not above 0.
    """

    def __init__(self, *, tasks: Sequence[str], trunk_max_norm: float = 10.0, clip_scaled: bool = False) -> None:
        super().__init__(tasks=tasks)
        if 'cap' not in self.tasks or len(self.tasks) < 2:
            raise ValueError(f'AlternatingSteps needs a vision head and a caption head, got {self.tasks}')
        if trunk_max_norm <= 0:
            raise ValueError(f'trunk_max_norm={trunk_max_norm} must be above 0')
        self.trunk_max_norm = trunk_max_norm
        self.clip_scaled = clip_scaled

    def run_step(self, model: Any, forward: nn.Module, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """A step of each optimizer whose heads are trained.

        Raises:
            TypeError: The optimizer is not the one of ``AlternatingOptimWrapperConstructor``.
        """
        if not isinstance(optim_wrapper, OptimWrapperDict):
            raise TypeError(
                "AlternatingSteps needs optim_wrapper.constructor='mmyolor_mtl.AlternatingOptimWrapperConstructor'"
            )
        with optim_wrapper['vision'].optim_context(forward):
            data = model.data_preprocessor(data, True)
        logs: dict[str, Tensor] = {}
        total: Any = 0
        for view in model.trained_views():
            wrapper = optim_wrapper[view]
            loss, log = losses_of_views(model, forward, data, wrapper, (view,))
            total = total + log.pop('loss')
            logs.update(log)
            if forward is not model:
                loss = loss + zero_loss(*model.parameters_beside((view,)))
            wrapper.backward(wrapper.scale_loss(loss))
            if view == 'vision':
                wrapper.step()
            else:
                trunk = [p for group in optim_wrapper['vision'].optimizer.param_groups for p in group['params']]
                self._step_beside(wrapper, [p for p in trunk if p.grad is not None])
            wrapper.zero_grad()
        return {**logs, 'loss': total}

    def _step_beside(self, wrapper: Any, trunk: list[nn.Parameter]) -> None:
        """Let the captions' optimizer step, and leave the trunk a gradient fit for the next vision step."""
        scaler = getattr(wrapper, 'loss_scaler', None)
        scale = 1.0 if scaler is None else scaler.get_scale()
        torch.nn.utils.clip_grad_norm_(trunk, self.trunk_max_norm * (1.0 if self.clip_scaled else scale))
        wrapper.step()
        if scaler is not None and not self.clip_scaled and scaler.get_scale() != scale:
            for parameter in trunk:
                parameter.grad.mul_(scaler.get_scale() / scale)
