"""The multi-task shell with a say in how its tasks share a step."""

from collections.abc import Sequence
from typing import Any

from mmdet.structures import DetDataSample
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from ...registry import MODELS
from .yolor_mtl import YOLORMTL


@MODELS.register_module()
class BalancedYOLORMTL(YOLORMTL):
    """A :class:`YOLORMTL` whose tasks are balanced while it trains; predictions are the same.

    Its checkpoints load into a :class:`YOLORMTL`, which ignores the entries ``balancer.*``.

    Args:
        balancer: Config of a :class:`~mmyolor_mtl.models.balancers.TaskBalancer`, which is told the tasks.
        kwargs: Those of :class:`YOLORMTL`.
    """

    def __init__(self, *, balancer: dict, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.balancer = MODELS.build({**balancer, 'tasks': tuple(self.heads)})

    def loss(
        self,
        batch_inputs: Tensor,
        batch_data_samples: list[DetDataSample],
        caption_inputs: Tensor | None = None,
        views: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """As the shell's, weighted."""
        return self.balancer.weigh(super().loss(batch_inputs, batch_data_samples, caption_inputs, views), self)

    def run_step(self, forward: nn.Module, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """As the balancer runs it."""
        return self.balancer.run_step(self, forward, data, optim_wrapper)

    def parameters_beside(self, views: Sequence[str]) -> list[nn.Parameter]:
        """As the shell's, with what the balancer learns of other tasks."""
        return [*super().parameters_beside(views), *self.balancer.parameters()]
