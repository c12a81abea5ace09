"""The model zoo names every config, repeats the metafiles, and these tell the truth about the networks."""

import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmyolor_mtl.registry import MODELS
from mmyolor_mtl.utils.complexity import network_cost

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/model_zoo.md'
MODELS_LISTED = [
    model
    for path in sorted((ROOT / 'configs').glob('*/metafile.yml'))
    for model in yaml.safe_load(path.read_text())['Models']
]
CONFIGS = [path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts]


@cache
def load(script):
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def model_cfg(listed):
    """The config; its caption head without a vocabulary file, for as many words as the metafile says."""
    cfg = Config.fromfile(ROOT / listed['Config'])
    init_default_scope('mmdet')
    caption = cfg.model.heads.get('cap')
    if caption is not None:
        words = listed['Metadata'].get('Vocabulary')
        assert (caption.get('vocab_size') is None) == (words is not None)
        caption.update(tokenizer=None, vocab_size=words or caption.vocab_size)
    return cfg


def test_the_tables_are_what_the_script_writes():
    text = PAGE.read_text()
    assert load(ROOT / 'docs/scripts/model_zoo.py').render(text) == text, 'run python docs/scripts/model_zoo.py'


def test_every_config_has_one_row():
    rows = re.findall(r'^\| `([\w-]+)` \|', PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(path.stem for path in CONFIGS)


def test_counterparts_are_published_and_figures_are_linked():
    published = PAGE.read_text().split('## Published figures')[1].split('\n## ')[0]
    names = {name.split(',')[0] for name in re.findall(r'^\| ([^|]+?) \|', published, re.MULTILINE)}
    assert {model['Metadata'].get('Counterpart', 'GYOLO') for model in MODELS_LISTED} <= names
    assert sum('Figures' in model['Metadata'] for model in MODELS_LISTED) >= 9


@pytest.mark.parametrize('listed', MODELS_LISTED, ids=lambda model: model['Name'])
def test_parameters_and_epochs(listed):
    cfg = model_cfg(listed)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    meta = listed['Metadata']
    assert sum(parameter.numel() for parameter in model.parameters()) == meta['Parameters']
    assert 'Epochs' not in meta or meta['Epochs'] == cfg.train_cfg.max_epochs


SMALL = ('yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes', 'yolor-mtl_elan-w25_cap_full-transformer_ablation_shapes')
LARGE = ('yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco', 'gelan-c-pan', 'gyolo_det-ins-sem-cap_8xb8-60e_coco')
COUNTED = [
    pytest.param(model, marks=[pytest.mark.slow] if model['Name'] in LARGE else [], id=model['Name'])
    for model in MODELS_LISTED
    if model['Name'] in (*SMALL, *LARGE)
]


@pytest.mark.parametrize('listed', COUNTED)
def test_operations(listed):
    cost = network_cost(model_cfg(listed))
    assert cost['parameters'] == listed['Metadata']['Parameters']
    assert round(1e9 * cost['gflops']) == listed['Metadata']['FLOPs']
