"""Steps of the optimizer that see about as many images whatever fits into memory."""

from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import BaseLoop, Runner

from mmyolor_mtl.registry import HOOKS


@HOOKS.register_module()
class NominalBatchHook(Hook):
    """Accumulates gradients until a step has seen the nominal number of images (REFERENCE_SPEC 5).

    With b images an iteration, over all processes, ``round(nominal_batch / b)`` iterations make a step, at least one.
    Weight decay is scaled by images a step / ``nominal_batch``, as the reference does, and the average of the weights
    (``EMAHook``) is updated once a step. The learning rate is left alone: it is meant for the nominal batch.

    Args:
        nominal_batch (int): Images a step that learning rate and weight decay are meant for.

    Raises:
        ValueError: ``nominal_batch`` is below 1; the config sets ``accumulative_counts`` too; several iterations make a
            step and ``auto_scale_lr`` is on, which knows nothing of them; or there is more than one optimizer.
    """

    # After EMAHook has made its average.
    priority = 'LOW'

    def __init__(self, nominal_batch: int = 64) -> None:
        if nominal_batch < 1:
            raise ValueError(f'nominal_batch={nominal_batch} must be at least 1')
        self.nominal_batch = nominal_batch

    def before_run(self, runner: Runner) -> None:
        """Set the wrapper, the weight decay and the average; in training only, and before a checkpoint is resumed."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, OptimWrapperDict):
            raise ValueError('NominalBatchHook takes one optimizer; steps of several are not accumulated')
        if wrapper._accumulative_counts != 1:
            raise ValueError('NominalBatchHook sets optim_wrapper.accumulative_counts; leave one of the two out')
        images = runner.train_dataloader.batch_size * runner.world_size
        count = max(round(self.nominal_batch / images), 1)
        if count > 1 and (runner.auto_scale_lr or {}).get('enable'):
            raise ValueError(
                f'auto_scale_lr takes a step for {images} images, NominalBatchHook makes it {images * count}: the '
                'learning rate needs no scaling then, leave --auto-scale-lr out'
            )
        wrapper._accumulative_counts = count
        for group in wrapper.optimizer.param_groups:
            group['weight_decay'] = group['weight_decay'] * images * count / self.nominal_batch
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                hook.ema_model.interval *= count
                if hasattr(hook.ema_model, 'gamma'):  # counted in iterations
                    hook.ema_model.gamma *= count
        runner.logger.info(f'{count} iterations of {images} images make a step of the optimizer')
