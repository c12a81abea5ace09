import logging
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope, init_default_scope

from mmyolor_mtl.models.text import WordTokenizer

from . import tiny_coco

CONFIG = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets/coco_mtl.py'


@pytest.fixture(scope='session')
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set; tests must not change it."""
    root = tiny_coco.build(tmp_path_factory.mktemp('tiny_coco'))
    WordTokenizer.build(tiny_coco.CAPTIONS).save(root / 'vocab.txt')
    return root


@pytest.fixture
def own_root(tiny_root: Path, tmp_path: Path) -> Path:
    """A tiny data set of the test's own, to break."""
    return Path(shutil.copytree(tiny_root, tmp_path / 'data', copy_function=shutil.copyfile))


@pytest.fixture(scope='session')
def coco_pipeline(tiny_root: Path) -> list[dict]:
    """The training pipeline of the COCO configs, at 64 px and with the vocabulary of the tiny data."""
    text = CONFIG.read_text().replace('img_scale = (640, 640)', 'img_scale = (64, 64)')
    text = text.replace("data_root + 'annotations/vocab.txt'", repr(str(tiny_root / 'vocab.txt')))
    pipeline = Config.fromstring(text, '.py').train_pipeline
    assert {'LoadImageFromFile', 'mmyolor_mtl.MTLMosaic', 'mmyolor_mtl.PackMTLInputs'} <= {t['type'] for t in pipeline}
    return pipeline


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
