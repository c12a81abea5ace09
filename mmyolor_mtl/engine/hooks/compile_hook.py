"""The trunk compiled by torch."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmyolor_mtl.engine.wrapping import bare_model
from mmyolor_mtl.registry import HOOKS
from mmyolor_mtl.utils.module_patterns import matching_modules


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles modules in place with ``torch.compile``; names of parameters and checkpoints stay the same.

    Meant for backbone and neck, whose shapes are the same in every batch. MMEngine's ``compile=True`` compiles the
    whole step: losses whose shapes change from batch to batch, and the optimizer, which torch cannot trace there.

    Args:
        modules (Sequence[str]): Names of modules, or patterns with ``*`` and ``?``.
        options (dict | None): Keyword arguments of ``torch.compile``, such as ``backend`` or ``mode``.

    Raises:
        ValueError: A pattern is the name of no module, or the config sets MMEngine's ``compile`` too.
    """

    def __init__(self, modules: Sequence[str] = ('backbone', 'neck'), options: dict[str, Any] | None = None) -> None:
        self.modules = list(modules)
        self.options = options or {}

    def before_run(self, runner: Runner) -> None:
        """Compile; the work is done when the first batch arrives."""
        if runner.cfg.get('compile'):
            raise ValueError(
                'compile of the config compiles the whole step, which fails; leave it out, CompileHook is on'
            )
        model = bare_model(runner)
        for module in matching_modules(model, self.modules).values():
            module.compile(**self.options)
