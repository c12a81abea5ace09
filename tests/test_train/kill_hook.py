"""A hook that kills its process where an environment variable says; processes of a test import it by name."""

import os
import signal
import threading
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook

from mmyolor_mtl.registry import HOOKS


@HOOKS.register_module()
class KillHook(Hook):
    """SIGKILL at ``KILL_AT``, e.g. 'step 5'; without it, nothing.

    step K: before iteration K of the run. evaluation N: after its N-th batch. writing N: when half of the N-th
    checkpoint is written. naming N: when the N-th is there, before ``last_checkpoint`` names it. seconds S: so long
    after training has begun. In several processes, the last one kills itself, but for files, which the first writes.
    """

    priority = 'LOWEST'

    def __init__(self):
        stage, _, number = os.environ.get('KILL_AT', ' ').partition(' ')
        self.stage, self.number, self.count = stage, float(number or 0), 0
        self.rank = int(os.environ.get('WORLD_SIZE', 1)) - 1

    def before_train(self, runner):
        if self.stage == 'seconds':
            threading.Timer(self.number, kill).start()
        if self.stage == 'writing':
            LocalBackend.put = self.put
        if self.stage == 'naming':
            self.write_text, Path.write_text = Path.write_text, lambda path, *args, **kwargs: self.name(path, *args)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.stage == 'step' and runner.iter == self.number and get_rank() == self.rank:
            kill()

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if get_rank() == self.rank:
            self.count_up('evaluation')

    def put(self, content, path):
        assert '.pth.' in str(path)  # a draft
        with open(path, 'wb') as file:
            file.write(content[: len(content) // 2])
            file.flush()
            self.count_up('writing')
            file.write(content[len(content) // 2 :])

    def name(self, path, *args):
        if 'last_checkpoint' in path.name:
            self.count_up('naming')
        return self.write_text(path, *args)

    def count_up(self, stage):
        self.count += stage == self.stage
        if (self.stage, self.number) == (stage, self.count):
            kill()


def kill():
    os.kill(os.getpid(), signal.SIGKILL)
