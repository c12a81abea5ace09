"""Every config builds, and the paper's network has the paper's size."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import OptimWrapperDict
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmyolor_mtl.models.text import WordTokenizer
from mmyolor_mtl.registry import DATASETS, HOOKS, METRICS, MODELS, VISUALIZERS

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(p for p in (ROOT / 'configs').rglob('*.py') if '_base_' not in p.parts)
# Those of the reference's networks say how to evaluate them; the training configs build on them.
TRAINING_CONFIGS = [p for p in CONFIGS if p.parent.name != 'reference']
PAPER = ROOT / 'configs/yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def with_vocabulary(cfg, vocab_file):
    """Point every tokenizer of the config to ``vocab_file``."""
    if isinstance(cfg, dict):
        if cfg.get('type') == 'mmyolor_mtl.WordTokenizer':
            cfg['vocab_file'] = str(vocab_file)
        for value in cfg.values():
            with_vocabulary(value, vocab_file)
    elif isinstance(cfg, list | tuple):
        for value in cfg:
            with_vocabulary(value, vocab_file)
    return cfg


@pytest.fixture
def vocab_file(tmp_path):
    path = tmp_path / 'vocab.txt'
    WordTokenizer.build(['a man rides a horse']).save(path)
    return path


def load(path, vocab_file):
    cfg = Config.fromfile(path)
    with_vocabulary(cfg._cfg_dict, vocab_file)
    init_default_scope(cfg.default_scope)
    return cfg


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_everything_a_config_names_can_be_built(path, vocab_file, tmp_path):
    cfg = load(path, vocab_file)
    model = MODELS.build(cfg.model)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = DATASETS.build({**cfg[name].dataset, 'lazy_init': True})
        names = ('classes', 'stuff_classes', 'extra_classes')
        if 'det' in model.heads:
            assert len(dataset.metainfo['classes']) == model.heads['det'].num_classes
        if 'sem' in model.heads:
            assert sum(len(dataset.metainfo[key]) for key in names) == model.heads['sem'].num_classes
        if not {'ins', 'sem'} <= set(model.heads):
            assert not cfg.model.test_cfg
            continue
        panoptic = cfg.model.test_cfg.panoptic
        assert panoptic.num_things == len(dataset.metainfo['classes'])
        assert panoptic.num_evaluated == panoptic.num_things + len(dataset.metainfo['stuff_classes'])
    needed = dict(Detection={'det'}, Semantic={'sem'}, Panoptic={'ins', 'sem'}, Caption={'cap'})
    metrics = [f'mmyolor_mtl.{name}Metric' for name, tasks in needed.items() if tasks <= set(model.heads)]
    assert [metric.type for metric in cfg.val_evaluator] == metrics
    if 'det' in model.heads:
        assert cfg.val_evaluator[0].metric == (['bbox', 'segm'] if 'ins' in model.heads else ['bbox'])
    for metric in cfg.val_evaluator:
        metric.pop('ann_file', None), metric.pop('seg_prefix', None)
        METRICS.build(metric)
    VISUALIZERS.build({**cfg.visualizer, 'save_dir': str(tmp_path)})
    for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]:
        HOOKS.build(hook)


SELF_CRITICAL = [path for path in TRAINING_CONFIGS if '_scst_' in path.stem]


@pytest.mark.parametrize('path', [p for p in TRAINING_CONFIGS if p not in SELF_CRITICAL], ids=lambda p: p.stem)
def test_training_configs_close_the_mosaic_and_read_captions_where_a_head_does(path, vocab_file):
    cfg = load(path, vocab_file)
    if set(cfg.model.heads) == {'cap'}:  # no head looks at the strong view
        assert 'CaptionView' in str(cfg.train_dataloader.dataset.pipeline)
        assert 'MTLMosaic' not in str(cfg.train_dataloader.dataset.pipeline) and not cfg.custom_hooks
        return
    for pipeline in (cfg.train_dataloader.dataset.pipeline, cfg.custom_hooks[0].switch_pipeline):
        assert ('CaptionView' in str(pipeline)) == ('cap' in cfg.model.heads)
    assert 'MTLMosaic' in str(cfg.train_dataloader.dataset.pipeline)
    assert 'MTLMosaic' not in str(cfg.custom_hooks[0].switch_pipeline)
    assert cfg.train_cfg.max_epochs > cfg.custom_hooks[0].switch_epoch > 0


@pytest.mark.parametrize('path', SELF_CRITICAL, ids=lambda p: p.stem)
def test_self_critical_configs_show_whole_pictures_to_the_caption_head_alone(path, vocab_file):
    cfg = load(path, vocab_file)
    (hook,) = (hook for hook in cfg.custom_hooks if hook.type == 'mmyolor_mtl.SelfCriticalHook')
    assert hook.loss.caption_file == cfg.train_dataloader.dataset.data_root + cfg.train_dataloader.dataset.caption_file
    steps = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert 'mmyolor_mtl.CaptionView' in steps and 'mmyolor_mtl.MTLMosaic' not in steps
    assert cfg.load_from and hook.loss.max_length <= cfg.model.heads.cap.max_length


@pytest.mark.parametrize('path', TRAINING_CONFIGS, ids=lambda p: p.stem)
def test_optimizer_leaves_norms_and_biases_without_decay(path, vocab_file, tmp_path):
    cfg = load(path, vocab_file)
    for task in {'det', 'sem'} & set(cfg.model.heads):
        cfg.model.heads[task].implicit = True
    model = MODELS.build(cfg.model)
    runner = Runner.__new__(Runner)
    optim_wrapper = Runner.build_optim_wrapper(_with_model(runner, model), cfg.optim_wrapper)
    wrappers = optim_wrapper.values() if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
    groups = {id(p): group for one in wrappers for group in one.optimizer.param_groups for p in group['params']}
    checked = 0
    for name, param in model.named_parameters():
        if not param.requires_grad:
            continue
        decays = groups[id(param)]['weight_decay'] > 0
        free = name.endswith(('.bias', '.implicit')) or param.ndim == 1
        assert decays != free, name
        checked += 1
    assert checked > 250


def _with_model(runner, model):
    runner.model = model
    return runner


class TestThePapersNetwork:
    """REFERENCE_SPEC 8.2, line by line."""

    @pytest.fixture(scope='class')
    def model(self):
        cfg = Config.fromfile(PAPER).model
        cfg.heads.cap.pop('tokenizer')
        return MODELS.build(cfg)

    def test_lines_of_the_table(self, model):
        neck, heads = model.neck, model.heads
        decoder = heads['cap'].decoder
        lines = {
            'shared backbone': (count(model.backbone), 13_371_808),
            'SPPCSPC + PAFPN': (count(neck) - count(neck.out_convs), 16_902_144),
            'output convs': (count(neck.out_convs), 6_196_736),
            'detection branches (+DFL)': (count(heads['det']), 7_119_040),
            'instance: coefficients + prototypes': (count(heads['ins']), 2_338_720),
            'semantic, single-scale': (count(heads['sem']), 44_461),
            'text decoder: 6 layers + norm': (count(decoder.layers) + count(decoder.norm), 9_473_024),
            'token + position embeddings + LN': (count(decoder.embeddings), 7_846_912),
            'output MLP': (count(decoder.output), 16_052_026),
            'image projections': (count(heads['cap'].projections), 656_128),
        }
        assert {name: have for name, (have, _) in lines.items()} == {name: want for name, (_, want) in lines.items()}
        assert sum(want for _, want in lines.values()) == 80_000_999

    def test_total(self, model):
        assert count(model) == 80_000_999
        assert count(model) - sum(p.numel() for p in model.parameters() if p.requires_grad) == 16

    def test_implicit_knowledge_adds_4016(self):
        cfg = Config.fromfile(PAPER).model
        cfg.heads.cap.pop('tokenizer')
        cfg.heads.det.implicit = True
        assert count(MODELS.build(cfg)) == 80_000_999 + 4_016


def test_config_stems_are_unique():
    stems = [p.stem for p in (ROOT / 'configs').rglob('*.py')]
    assert len(stems) == len(set(stems))
