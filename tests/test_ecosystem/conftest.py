"""A checkout in small: scenes of 64 px, and the demo's config for them with a tiny network."""

import pytest

from ..test_train.conftest import DEMO, ROOT, scenes, tiny_config

__all__ = ['checkout', 'scenes']


@pytest.fixture(scope='session')
def checkout(scenes, tmp_path_factory):
    """Folder with ``data/shapes``, ``tools`` and a tiny ``configs/shapes/DEMO``; one epoch of it has two iterations."""
    folder = tmp_path_factory.mktemp('checkout')
    (folder / 'data').mkdir()
    (folder / 'data/shapes').symlink_to(scenes)
    (folder / 'tools').symlink_to(ROOT / 'tools')
    cfg = tiny_config('data/shapes', folder, max_epochs=1, batch_size=6)
    cfg.work_dir, cfg.visualizer.name, cfg.randomness = None, 'visualizer', dict(seed=0)
    config = folder / DEMO.relative_to(ROOT)
    config.parent.mkdir(parents=True)
    cfg.dump(config)
    return folder
