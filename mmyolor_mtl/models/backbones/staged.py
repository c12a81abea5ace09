"""What backbones that are a chain of stages have in common: outputs, frozen stages, frozen norms."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class StagedBackbone(BaseModule):
    """Base of a backbone with a stem (stride 2) and four stages (strides 4, 8, 16, 32).

    A subclass calls :meth:`_set_stages` at the end of its constructor.

    Args:
        out_indices: Stages to return, out of 0 (stem) to 4.
        frozen_stages: Stages ``0..frozen_stages`` neither learn nor update batch statistics; -1 freezes none.
        norm_eval: Keep every batch norm in evaluation mode while training.
        init_cfg: Config of the initialisation.

    Raises:
        ValueError: If ``out_indices`` or ``frozen_stages`` name no stage.
    """

    NUM_STAGES = 4

    def __init__(
        self, *, out_indices: Sequence[int], frozen_stages: int, norm_eval: bool, init_cfg: dict | None
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        last = self.NUM_STAGES
        if not out_indices or not set(out_indices) <= set(range(last + 1)):
            raise ValueError(f'out_indices must name stages between 0 and {last}, got {tuple(out_indices)}')
        if not -1 <= frozen_stages <= last:
            raise ValueError(f'frozen_stages must lie between -1 and {last}, got {frozen_stages}')
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval

    def _set_stages(self, stem: nn.Module, stages: Sequence[nn.Module]) -> None:
        self.stem = stem
        for index, stage in enumerate(stages, start=1):
            self.add_module(f'stage{index}', stage)
        self._freeze()

    @property
    def stages(self) -> list[nn.Module]:
        """The stem and the four stages in order."""
        return [self.stem, *(getattr(self, f'stage{i}') for i in range(1, self.NUM_STAGES + 1))]

    def _freeze(self) -> None:
        for stage in self.stages[: self.frozen_stages + 1]:
            stage.eval()
            stage.requires_grad_(False)

    def train(self, mode: bool = True) -> 'StagedBackbone':
        """Switch the mode, leaving frozen stages (and with ``norm_eval`` all norms) in evaluation mode."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the features of the stages in ``out_indices``."""
        outputs = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
