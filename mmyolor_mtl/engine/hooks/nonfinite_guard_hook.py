"""Keep losses and gradients that are not finite away from the weights, and say where they came from."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn

from mmyolor_mtl.engine.wrapping import bare_model
from mmyolor_mtl.registry import HOOKS


@HOOKS.register_module()
class NonFiniteGuardHook(Hook):
    """Skips the step of an optimizer whose gradients hold NaN or infinity; stops training after too many in a row.

    What was not finite is logged: the loss terms, for each part of the model the layer nearest to the loss, and the
    images of the step in all processes (of a mosaic, the first). Statistics of batch norms that the bad batch may have
    spoilt are put back. All processes skip alike, as they share their gradients.

    With a gradient scaler (fp16), infinite gradients are part of its search for a scale: it skips those steps by
    itself, and only losses are looked at here.

    Args:
        max_skips (int): So many steps in a row may be skipped; 0 stops at the first.

    Raises:
        ValueError: ``max_skips`` is negative.
        FloatingPointError: More steps than that had to be skipped in a row.
    """

    priority = 45  # before EMAHook averages the batch statistics

    def __init__(self, max_skips: int = 10) -> None:
        if max_skips < 0:
            raise ValueError(f'max_skips={max_skips} must be at least 0')
        self.max_skips = max_skips
        self._skips = 0
        self._stepped = False
        self._layers: list[str] = []

    def before_train(self, runner: Runner) -> None:
        """Look at the gradients whenever an optimizer is about to step, before they are clipped."""
        self._model = bare_model(runner)
        self._statistics = [(buffer, buffer.clone()) for buffer in self._model.buffers()]
        wrappers = runner.optim_wrapper
        for wrapper in wrappers.values() if isinstance(wrappers, OptimWrapperDict) else [wrappers]:
            wrapper.step = self._guarded(wrapper, wrapper.step)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Remember the batch statistics."""
        self._stepped, self._layers = False, []
        for buffer, kept in self._statistics:
            kept.copy_(buffer)

    def _guarded(self, wrapper: OptimWrapper, step: Callable) -> Callable:
        """The wrapper's method ``step``, which does nothing where a gradient is not finite."""
        scaler = getattr(wrapper, 'loss_scaler', None)
        is_scaled = scaler is not None and scaler.is_enabled()

        @wraps(step)  # the schedulers have left a mark on it
        def guarded_step(**kwargs: Any) -> None:
            parameters = (p for group in wrapper.param_groups for p in group['params'])
            if is_scaled or _all_finite([p.grad for p in parameters if p.grad is not None]):
                step(**kwargs)
                self._stepped = True
            else:
                self._layers = nonfinite_layers(self._model)

        return guarded_step

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Tensor] | None = None
    ) -> None:
        """Report what was not finite, if anything."""
        losses = {name: float(value.detach()) for name, value in (outputs or {}).items()}
        terms = {name: value for name, value in losses.items() if not abs(value) < float('inf')}
        if not _in_any_process(bool(terms or self._layers), next(self._model.parameters()).device):
            self._skips = 0 if self._stepped else self._skips
            return
        for buffer, kept in self._statistics:
            buffer.copy_(kept)
        self._skips += 1
        images = [image for images in all_gather_object(_images_of(data_batch)) for image in images]
        report = _report(runner.epoch + 1, runner.iter + 1, terms, self._layers, images)
        if self._skips > self.max_skips:
            raise FloatingPointError(
                f'{report}\nStopped after {self._skips} such steps in a row (max_skips={self.max_skips}). Look at '
                'these images and their labels, lower the learning rate, lengthen its warm-up, clip gradients, or '
                'train without --amp; then go on from the last checkpoint with --resume'
            )
        runner.logger.warning(f'{report}\nThe step is skipped ({self._skips} in a row, {self.max_skips} are allowed).')


def nonfinite_layers(model: nn.Module) -> list[str]:
    """Names of the modules that hold a parameter whose gradient is not finite, in the order of the model."""
    parameters = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    return list(dict.fromkeys(name.rpartition('.')[0] for name, grad in parameters if not grad.isfinite().all()))


def _all_finite(gradients: list[Tensor]) -> bool:
    """One synchronisation with the GPU, however many gradients there are."""
    if not gradients:
        return True
    largest = torch.stack([value.float() for value in torch._foreach_norm(gradients, float('inf'))])
    return bool(largest.isfinite().all())


def _in_any_process(flag: bool, device: torch.device) -> bool:
    if get_world_size() == 1:
        return flag
    number = torch.tensor(float(flag), device=device)
    all_reduce(number, op='max')
    return bool(number)


def _images_of(data_batch: Any) -> list[str]:
    samples = data_batch.get('data_samples', []) if isinstance(data_batch, Mapping) else []
    return [f'{sample.get("img_path", "?")} (id {sample.get("img_id", "?")})' for sample in samples]


def _report(epoch: int, step: int, terms: Mapping[str, float], layers: list[str], images: list[str]) -> str:
    lines = [f'Not finite in epoch {epoch}, iteration {step}:']
    if terms:
        lines.append(f'losses: {", ".join(f"{name} = {value}" for name, value in terms.items())}')
    if layers:
        # On its way back from a loss a gradient reaches the last layers first; what comes after is only spoilt by it.
        nearest = {'.'.join(layer.split('.')[: 2 if layer.startswith('heads.') else 1]): layer for layer in layers}
        lines.append(f'gradients, nearest to the loss in each part: {", ".join(reversed(nearest.values()))}')
    lines.append(f'images: {", ".join(images)}')
    return '\n  '.join(lines)
