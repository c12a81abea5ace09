"""The paper part by part: modules exist, and every config key is understood by what it configures."""

import inspect
import re
import runpy
from pathlib import Path

import cv2
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmyolor_mtl.registry import DATASETS, MODELS

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'
ROWS = re.findall(
    r'^\| [^|]+ \| `([\w/.]+\.py)`[^|]* \| `([\w.]+)` \|$',
    (ROOT / 'docs/concepts/overview.md').read_text(encoding='utf-8'),
    re.MULTILINE,
)


def understood(cfg, key):
    """Whether a dotted key is set in a config, or is an argument of the class that the config names there."""
    node = cfg
    *path, last = key.split('.')
    for name in path:
        node = node[name]
    if last in node:
        return True
    registry = DATASETS if 'dataset' in path else MODELS
    owner = registry.get(node.type) if 'type' in node else None
    bases = () if owner is None else inspect.getmro(owner)
    return any(last in inspect.signature(base.__init__).parameters for base in bases)


@pytest.mark.parametrize(('module', 'key'), ROWS, ids=lambda value: value.replace('/', '.'))
def test_a_row_is_true(module, key):
    assert (ROOT / 'mmyolor_mtl' / module).is_file()
    init_default_scope('mmdet')
    cfg = Config.fromfile(CONFIG)
    assert understood(cfg, key)
    assert not understood(cfg, f'{key}x')


def test_the_table_was_read():
    assert len(ROWS) > 20


def test_the_figure_is_drawn_by_its_script(tmp_path, monkeypatch):
    names = runpy.run_path(str(ROOT / 'docs/scripts/architecture.py'))
    monkeypatch.setitem(names['draw'].__globals__, 'OUT', tmp_path / 'new.png')
    names['draw']()
    new, old = (cv2.imread(str(path)) for path in (tmp_path / 'new.png', ROOT / 'docs/_static/architecture.png'))
    # Fonts and line ends differ from one matplotlib to the next.
    assert abs(new.shape[1] - old.shape[1]) < 40 and abs(float(new.mean()) - float(old.mean())) < 4
