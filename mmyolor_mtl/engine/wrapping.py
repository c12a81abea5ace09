"""The network of a runner, with and without the wrapper that several processes need."""

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn


def bare_model(runner: Runner) -> nn.Module:
    """The network itself, without DistributedDataParallel around it."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def wrap_again(runner: Runner) -> None:
    """Tell the wrapper, where there is one, that other parameters need gradients than when it was made.

    DistributedDataParallel would wait for the gradients of parameters that are frozen since, and leave out those that
    have thawed.
    """
    if is_model_wrapper(runner.model):
        runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), runner.model.module)
