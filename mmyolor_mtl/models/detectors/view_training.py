"""One step of the optimizer with two views of the same images: memory of the larger, gradients of both."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from ..heads.base_head import zero_loss


def train_views(model: Any, forward: nn.Module, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
    """Run each view forward and backward, then let the optimizer step once.

    Nothing of a view but its gradients is kept while the next one runs. The gradients are those of the sum of all
    losses. Several processes exchange gradients once, during the backward pass of the last view.

    Args:
        model: The :class:`YOLORMTL`.
        forward: What runs it: the model itself, or the wrapper that synchronises several processes.
        data: A batch of the loader.
        optim_wrapper: Optimizer, with mixed precision and accumulation as its type says.

    Returns:
        dict: Every loss and their sum ``loss``, to log.
    """
    with optim_wrapper.optim_context(forward):
        data = model.data_preprocessor(data, True)
    passes = view_passes(model)
    logs: dict[str, Tensor] = {}
    total: Any = 0
    for views in passes:
        is_last = views is passes[-1]
        loss, log = losses_of_views(model, forward, data, optim_wrapper, views, exchange=is_last)
        total = total + log.pop('loss')
        logs.update(log)
        if not is_last:
            add_gradients(optim_wrapper, loss)
            continue
        if len(passes) > 1 and forward is not model:
            # The exchange waits for a gradient of every parameter, also of those that only earlier views have reached.
            loss = loss + zero_loss(*model.parameters_beside(views))
        optim_wrapper.update_params(loss)
    return {**logs, 'loss': total}


def view_passes(model: Any) -> list[tuple[str, ...]]:
    """The views that are run together, one pass after the other."""
    views = model.trained_views()
    return [(view,) for view in views] if model.train_cfg['views_in_turn'] else [views]


def losses_of_views(
    model: Any, forward: nn.Module, data: dict, optim_wrapper: OptimWrapper, views: Sequence[str], exchange: bool = True
) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum of the losses of some views, and all of them to log.

    Without ``exchange`` the backward pass leaves each process the gradients of its own images.
    """
    with ExitStack() as contexts:
        if not exchange and forward is not model:
            contexts.enter_context(forward.no_sync())
        contexts.enter_context(optim_wrapper.optim_context(forward))
        losses = forward(**data, mode='loss', views=views)
    return model.parse_losses(losses)


def add_gradients(optim_wrapper: OptimWrapper, loss: Tensor, **kwargs: Any) -> None:
    """Run backward from a part of a step's losses, not counted as a step.

    The wrapper counts backward passes to know when a step is due; with several views a step has several.
    """
    count = optim_wrapper._inner_count
    optim_wrapper.backward(optim_wrapper.scale_loss(loss), **kwargs)
    optim_wrapper._inner_count = count
