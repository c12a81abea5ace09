"""Pictures and weights with the channels of a pixel side by side."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmyolor_mtl.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Puts the weights of convolutions into channels-last order, which their outputs then follow.

    Values and checkpoints stay the same. Tensor cores read this order natively; figures for CPUs are in the docs.
    """

    def before_run(self, runner: Runner) -> None:
        """Reorder, in place: optimizer and wrappers keep their parameters."""
        runner.model.to(memory_format=torch.channels_last)
