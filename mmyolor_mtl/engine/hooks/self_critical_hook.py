"""Caption training that turns from likelihood to CIDEr."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmyolor_mtl.engine.wrapping import bare_model, wrap_again
from mmyolor_mtl.registry import HOOKS, MODELS


@HOOKS.register_module()
class SelfCriticalHook(Hook):
    """From an epoch on, train the caption head by the CIDEr of its own sentences (REFERENCE_SPEC 3.5).

    Learning rate and schedule stay as the config has them: self-critical training wants a rate ten to a hundred times
    lower than training from scratch.

    Args:
        loss (dict): Config of :class:`~mmyolor_mtl.models.losses.SelfCriticalLoss`.
        begin (int): First epoch of it, counted from 0.
        freeze (bool): Train nothing but the caption head, whose batch norms keep their statistics; the vision heads'
            losses are not computed then.

    Raises:
        ValueError: ``begin`` is negative, or the model has no caption head with a tokenizer.
    """

    def __init__(self, loss: dict, begin: int = 0, freeze: bool = True) -> None:
        if begin < 0:
            raise ValueError(f'begin={begin} must be at least 0')
        self.loss = loss
        self.begin = begin
        self.freeze = freeze

    def before_train_epoch(self, runner: Runner) -> None:
        """Turn when it is time, also in a run that resumes later."""
        if runner.epoch < self.begin:
            return
        model = bare_model(runner)
        heads = getattr(model, 'heads', {})
        head = heads['cap'] if 'cap' in heads else None  # noqa: SIM401  (a ModuleDict has no get)
        if head is None or head.tokenizer is None:
            raise ValueError('SelfCriticalHook needs a model with a caption head that has a tokenizer')
        if head.self_critical is None:
            head.self_critical = MODELS.build({'_scope_': 'mmyolor_mtl', **self.loss})
            runner.logger.info('captions are trained by their CIDEr from now on')
            if self.freeze:
                model.requires_grad_(False)
                head.requires_grad_(True)
                wrap_again(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Keep the batch norms of the head as they are (the loop puts the model into training mode)."""
        if runner.epoch < self.begin or not self.freeze:
            return
        model = bare_model(runner)
        for module in model.heads['cap'].modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
