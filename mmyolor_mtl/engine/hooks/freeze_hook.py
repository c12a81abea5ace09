"""Parts of the network that are trained in some epochs only."""

import math
from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmyolor_mtl.engine.wrapping import bare_model, wrap_again
from mmyolor_mtl.registry import HOOKS
from mmyolor_mtl.utils.module_patterns import matching_modules


@HOOKS.register_module()
class FreezeHook(Hook):
    """Freezes modules from one epoch to another.

    Frozen modules get no gradient, keep the statistics of their batch norms and do without dropout. What was frozen
    from the beginning stays so. Several of these hooks make a plan, each for modules of its own.

    With several processes, DistributedDataParallel would wait for gradients that never come. The hook wraps the network
    anew whenever something changes, so that ``find_unused_parameters`` is not needed.

    Args:
        modules (Sequence[str]): Names of modules, or patterns with ``*`` and ``?``: 'backbone', 'heads.sem',
            'backbone.stage*'. What lies inside a module is frozen with it.
        begin (int): First epoch in which they are frozen, counted from 0.
        end (int | None): First epoch in which they are trained again; None for never.

    Raises:
        ValueError: The epochs make no interval, or a pattern is the name of no module.
    """

    def __init__(self, modules: Sequence[str], begin: int = 0, end: int | None = None) -> None:
        if isinstance(modules, str) or not modules:
            raise ValueError(f'modules={modules!r} must be a list of names')
        if not 0 <= begin < (math.inf if end is None else end):
            raise ValueError(f'begin={begin} and end={end}: must be at least 0, and begin below end')
        self.modules = list(modules)
        self.begin = begin
        self.end = math.inf if end is None else end
        self._frozen: list[nn.Parameter] = []

    def before_run(self, runner: Runner) -> None:
        """Check the names, before anything is trained."""
        matching_modules(bare_model(runner), self.modules)

    def before_train_epoch(self, runner: Runner) -> None:
        """Freeze or thaw when it is time, also in a run that resumes later."""
        frozen = self.begin <= runner.epoch < self.end
        if frozen == bool(self._frozen):
            return
        if frozen:
            modules = matching_modules(bare_model(runner), self.modules)
            parameters = {p: None for m in modules.values() for p in m.parameters() if p.requires_grad}
            self._frozen = list(parameters)
        for parameter in self._frozen:
            parameter.requires_grad_(not frozen)
            parameter.grad = None  # what an unfinished accumulation left
        runner.logger.info(f'epoch {runner.epoch + 1}: {", ".join(self.modules)} {"frozen" if frozen else "trained"}')
        if not frozen:
            self._frozen = []
        wrap_again(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Keep the statistics (the loop puts the whole model into training mode)."""
        if self._frozen:
            for module in matching_modules(bare_model(runner), self.modules).values():
                module.eval()
