"""A hook that writes down the losses of every step; processes of a test import it by name."""

import json
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from torch.nn.modules.batchnorm import _BatchNorm

from mmyolor_mtl.registry import HOOKS


@HOOKS.register_module()
class StepRecorder(Hook):
    """A file of each process with its logged losses, step by step. Batch norms keep their statistics meanwhile."""

    def before_train(self, runner):
        self.steps = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for module in runner.model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append({name: float(value) for name, value in outputs.items()})

    def after_train(self, runner):
        Path(runner.work_dir, f'steps_{get_rank()}.json').write_text(json.dumps(self.steps))
