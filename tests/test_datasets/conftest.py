import logging
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope, init_default_scope

from mmyolor_mtl.models.text import WordTokenizer

from . import tiny_coco


@pytest.fixture(scope='session')
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set; tests must not change it."""
    root = tiny_coco.build(tmp_path_factory.mktemp('tiny_coco'))
    WordTokenizer.build(tiny_coco.CAPTIONS).save(root / 'vocab.txt')
    return root


@pytest.fixture
def own_root(tmp_path: Path) -> Path:
    """A tiny data set of the test's own, to break."""
    return tiny_coco.build(tmp_path)


@pytest.fixture(autouse=True)
def _mmdet_scope():
    """Types without prefix are looked up as configs do it."""
    before = DefaultScope.get_current_instance()
    init_default_scope('mmdet')
    yield
    if before is not None:
        init_default_scope(before.scope_name)


class _Listener(logging.Handler):
    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def log():
    listener = _Listener()
    logger = MMLogger.get_current_instance()
    logger.addHandler(listener)
    yield listener.messages
    logger.removeHandler(listener)
