"""Each ablation changes what its name says and nothing else."""

from collections import Counter
from pathlib import Path

import pytest
from mmengine.config import Config

from mmyolor_mtl.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
ABLATIONS = sorted((ROOT / 'configs/ablations').glob('*.py'))
SHAPES = ROOT / 'configs/ablations/yolor-mtl_elan-w25_det-ins-sem-cap_ablation_shapes.py'
PAPER = ROOT / 'configs/yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'
# What the runner reads; other entries of a config are only names for parts of these.
READ = ('model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'val_evaluator', 'test_evaluator')
READ += ('train_cfg', 'optim_wrapper', 'param_scheduler', 'default_hooks', 'custom_hooks', 'model_wrapper_cfg')
PIPELINES = {'train_dataloader.dataset.pipeline', 'custom_hooks'}
EVALUATORS = {'val_evaluator', 'test_evaluator'}
ONE_LEVEL = {f'model.heads.cap.{name}' for name in ('in_channels', 'strides', 'levels')}
CHANGES = {
    'strong-captions': PIPELINES,
    'multi-scale': {'model.heads.sem.hidden_channels', 'model.heads.sem.num_levels'},
    'full-resolution': {'model.heads.sem.out_stride', *PIPELINES},
    'full-transformer': {
        'model.heads.cap.num_encoder_layers',
        *ONE_LEVEL,
    },
    'one-level': ONE_LEVEL,
    'implicit': {f'model.heads.{task}.implicit' for task in ('det', 'ins', 'sem')},
    'slow-encoder': {'optim_wrapper.paramwise_cfg.custom_keys.backbone..lr_mult'},
    'slow-decoder': {'optim_wrapper.paramwise_cfg.custom_keys.heads.cap..lr_mult'},
}
# Nothing reads the neck, and MMEngine cannot guess whether more is better for these metrics.
CAPTIONS_ALONE = {
    'model_wrapper_cfg.find_unused_parameters',
    'default_hooks.checkpoint.save_best',
    'default_hooks.checkpoint.rule',
}
NOT_TASKS = {'ablation', 'shapes', '8xb8-300e', 'coco', 'single-scale'}


def base_of(path):
    if '_cap_full-transformer_' in path.stem:
        return path.with_name(path.name.replace('_full-transformer', ''))
    return SHAPES if path.stem.endswith('_shapes') else PAPER


def flatten(node, prefix=''):
    if not isinstance(node, dict) or not node:
        return {prefix: node}
    return {
        key: value
        for name, child in node.items()
        for key, value in flatten(child, f'{prefix}.{name}' if prefix else str(name)).items()
    }


def differences(path):
    one, other = (
        flatten({key: cfg[key] for key in READ if key in cfg})
        for cfg in (Config.fromfile(p).to_dict() for p in (base_of(path), path))
    )
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


@pytest.mark.parametrize('path', [p for p in ABLATIONS if p != SHAPES], ids=lambda p: p.stem)
def test_only_what_the_name_says_differs(path):
    tasks, *rest = path.stem.split('_')[2:]
    changed = differences(path)
    (variation,) = set(rest) - NOT_TASKS or {None}
    if variation:
        assert changed and changed <= CHANGES[variation]
        return
    tasks = tasks.split('-')
    heads = {f'model.heads.{task}' for task in {'det', 'ins', 'sem', 'cap'} - set(tasks)}
    assert all(
        key.startswith((*(f'{head}.' for head in heads), 'model.test_cfg'))
        or key in PIPELINES | EVALUATORS
        or (tasks == ['cap'] and key in CAPTIONS_ALONE)
        for key in changed
    ), changed
    assert list(Config.fromfile(path).model.heads) == tasks


@pytest.mark.parametrize('path', [p for p in ABLATIONS if '_strong-captions_' in p.stem], ids=lambda p: p.stem)
def test_strong_captions_only_move_the_view(path):
    for before, after in zip(*(pipelines(Config.fromfile(p)) for p in (base_of(path), path)), strict=True):
        assert Counter(map(str, before)) == Counter(map(str, after))
        names = [step.type.removeprefix('mmyolor_mtl.') for step in after]
        assert names[-4:] == ['MTLRandomFlip', 'CaptionView', 'TokenizeCaption', 'PackMTLInputs']


def pipelines(cfg):
    return cfg.train_dataloader.dataset.pipeline, cfg.custom_hooks[0].switch_pipeline


@pytest.mark.parametrize('path', [p for p in ABLATIONS if '_sem' in p.stem or '-sem' in p.stem], ids=lambda p: p.stem)
def test_semantic_targets_have_the_stride_of_the_logits(path):
    cfg = Config.fromfile(path)
    for pipeline in pipelines(cfg):
        assert pipeline[-1].get('sem_stride', 4) == cfg.model.heads.sem.get('out_stride', 4)


def parameters(name):
    cfg = Config.fromfile(ROOT / f'configs/ablations/yolor-mtl_elan_det-ins-sem-cap_{name}_8xb8-300e_coco.py').model
    cfg.heads.cap.pop('tokenizer')
    model = MODELS.build(cfg)
    return {part: sum(p.numel() for p in module.parameters()) for part, module in model.heads.items()}


def test_sizes():
    assert parameters('multi-scale')['sem'] == 782_909
    one_level, full = parameters('one-level'), parameters('full-transformer')
    assert full['cap'] - one_level['cap'] == 7_890_944
    implicit = parameters('implicit')
    assert implicit['det'] - one_level['det'] == 4_016
    assert implicit['sem'] - one_level['sem'] == 256 + 173 and implicit['ins'] - one_level['ins'] == 1_792 + 3 * 32
