"""The config blocks of the pages on training, merged into the demo's config, build what they name."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmyolor_mtl.registry import HOOKS, MODELS

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / 'configs/shapes/yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py'


def blocks(page, section=None):
    text = (ROOT / 'docs' / page).read_text(encoding='utf-8')
    if section is not None:
        text = text.split(f'\n## {section}\n')[1].split('\n## ')[0]
    return re.findall(r'```python\n(.*?)```', text, re.DOTALL)


BLOCKS = [*blocks('advanced_guides/balancing_tasks.md'), *blocks('user_guides/training.md', 'Recipe')]


@pytest.mark.parametrize('block', BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_builds(block):
    cfg = Config.fromfile(DEMO)
    cfg.custom_hooks = []
    cfg.merge_from_dict(Config.fromstring(block, '.py')._cfg_dict.to_dict())
    init_default_scope(cfg.default_scope)
    cfg.model.heads.cap.update(tokenizer=None, vocab_size=50)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    build_optim_wrapper(model, cfg.optim_wrapper)
    for hook in cfg.custom_hooks:
        HOOKS.build(hook)
    assert {key: cfg[key] for key in ('model', 'optim_wrapper', 'custom_hooks')} != untouched()


def untouched():
    cfg = Config.fromfile(DEMO)
    cfg.model.heads.cap.update(tokenizer=None, vocab_size=50)
    return {'model': cfg.model, 'optim_wrapper': cfg.optim_wrapper, 'custom_hooks': []}


def test_the_pages_have_blocks():
    assert len(BLOCKS) >= 10
