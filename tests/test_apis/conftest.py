"""A tiny network of all four tasks that the real runner trained for an epoch, with its checkpoint."""

import pytest
from mmengine.runner import Runner

from ..test_train.conftest import scenes, tiny_config

__all__ = ['scenes', 'trained']


@pytest.fixture(scope='session')
def trained(scenes, tmp_path_factory):
    """Checkpoint of one epoch over twelve scenes; trained once for all folders of tests that borrow this."""
    work_dir = tmp_path_factory.getbasetemp() / 'trained'
    checkpoint = work_dir / 'epoch_1.pth'
    if not checkpoint.is_file():
        cfg = tiny_config(scenes, work_dir, max_epochs=1)
        cfg.train_cfg.val_interval = 2  # none: it would take most of the time
        Runner.from_cfg(cfg).train()
    return checkpoint
