"""Warm-up in which some parameter groups start above their learning rate and the others at zero."""

from typing import Any

from mmengine.optim import LinearLR

from ...registry import PARAM_SCHEDULERS

# Schedules multiply, so zero would stay zero.
_ALMOST_ZERO = 1e-6


@PARAM_SCHEDULERS.register_module()
class GroupWarmupLR(LinearLR):
    """Linear warm-up that gives biases a start of their own (REFERENCE_SPEC 5).

    A fresh detector predicts objects everywhere. A high rate lets the biases unlearn that, while the weights wait.
    ``MTLOptimWrapperConstructor`` makes the groups. Like MMEngine's, the schedule multiplies and so goes together with
    the one that runs at the same time.

    Args:
        optimizer: Optimizer or wrapper whose groups carry an entry ``kind``.
        bias_factor: Biases start at this many times their learning rate, the others at zero; all end at theirs.
        kwargs: Passed on to MMEngine's ``LinearLR``: ``begin``, ``end``, ``by_epoch``, ``convert_to_iter_based``.

    Raises:
        ValueError: ``bias_factor`` is not above 0, or no group is of the kind 'bias'.
    """

    def __init__(self, optimizer: Any, bias_factor: float, **kwargs: Any) -> None:
        if bias_factor <= 0:
            raise ValueError(f'bias_factor={bias_factor} must be above 0')
        self.bias_factor = bias_factor
        super().__init__(optimizer, start_factor=_ALMOST_ZERO, **kwargs)
        if not any(group.get('kind') == 'bias' for group in self.optimizer.param_groups):
            raise ValueError('GroupWarmupLR needs optim_wrapper.constructor="mmyolor_mtl.MTLOptimWrapperConstructor"')

    def _get_value(self) -> list[float]:
        """The learning rates of this step from those of the step before."""
        length = max(self.total_iters, 1)
        values = []
        for group in self.optimizer.param_groups:
            start = self.bias_factor if group.get('kind') == 'bias' else self.start_factor
            before = 1.0 if self.last_step == 0 else _factor(start, (self.last_step - 1) / length)
            values.append(group[self.param_name] * _factor(start, self.last_step / length) / before)
        return values


def _factor(start: float, progress: float) -> float:
    return start + (1 - start) * progress
