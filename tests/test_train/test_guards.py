"""What is checked before a long job, and what is said when one fails, with real networks and files."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from yapf.yapflib import yapf_api

from mmyolor_mtl.engine import dry_run
from mmyolor_mtl.registry import HOOKS
from mmyolor_mtl.utils.memory import out_of_memory_advice
from tests.test_tools.test_train_and_test import load

from .conftest import ROOT, tiny_config
from .test_runner import train


@pytest.fixture(autouse=True)
def _unformatted_configs(monkeypatch):
    """Formatting the text of a config takes longer than training the tiny network."""
    monkeypatch.setattr(yapf_api, 'FormatCode', lambda text, **_: (text, True))


@pytest.fixture
def tool():
    return load(ROOT, 'train')


def files_below(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob('*')) if folder.exists() else []


@HOOKS.register_module()
class SpoilHook(Hook):
    """The semantic loss of one step is NaN."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.images = [sample.img_path for sample in data_batch['data_samples']]
        runner.model.heads['sem'].loss_dice.loss_weight = float('nan') if runner.iter == 1 else 1.0
        if runner.iter == 1:
            runner.spoilt_images = self.images


def test_a_loss_that_is_not_finite_is_traced_and_skipped(scenes, tmp_path):
    cfg = tiny_config(scenes, tmp_path, max_epochs=1)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.custom_hooks = [dict(type='mmyolor_mtl.SpoilHook', priority='VERY_HIGH')]
    runner = train(cfg)
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    assert all(v.isfinite().all() for part in ('state_dict', 'ema_state_dict') for v in saved[part].values())
    (log,) = (path.read_text() for path in tmp_path.glob('*/*.log'))
    report = log[log.index('Not finite in epoch 1, iteration 2') :].split('The step is skipped')[0]
    assert 'loss_sem_dice = nan' in report and 'loss_det' not in report and 'loss_cap' not in report
    parts = report.split('each part: ')[1].split('\n')[0].split(', ')
    assert parts[0] == 'heads.sem.main.classifier' and not any(
        part.startswith(('heads.det', 'heads.cap')) for part in parts
    )
    assert [path for path in runner.spoilt_images if path in report] == runner.spoilt_images


def break_annotations(root, split):
    path = root / f'annotations/instances_{split}2017.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['category_id'] = 999
    path.write_text(json.dumps(content))


@pytest.mark.parametrize('split', ['train', 'val'])
def test_labels_of_both_parts_are_checked_before_the_first_step(own_scenes, tmp_path, split):
    break_annotations(own_scenes, split)
    with pytest.raises(ValueError, match='999'):
        train(tiny_config(own_scenes, tmp_path / 'run'))
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_dry_run_leaves_nothing_behind(scenes, tmp_path, tool, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = tiny_config(scenes, tmp_path / 'run', max_epochs=30)
    cfg.visualizer.vis_backends = [dict(type='TensorboardVisBackend')]
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    steps = []
    monkeypatch.setattr(SpoilHook, 'before_train_iter', lambda self, runner, *args, **kwargs: steps.append(runner.iter))
    cfg.custom_hooks.append(dict(type='mmyolor_mtl.SpoilHook'))
    dry_run(cfg)
    assert steps == [0]
    assert random.getstate() == before[0] and (np.random.get_state()[1] == before[1]).all()
    assert torch.equal(torch.get_rng_state(), before[2])
    assert cfg.train_cfg.max_epochs == 30 and files_below(tmp_path) == []


def test_dry_run_finds_what_would_fail_after_the_first_epoch(scenes, tmp_path, tool, monkeypatch):
    cfg = tiny_config(scenes, tmp_path / 'run', max_epochs=30)
    cfg.default_hooks.checkpoint.save_best = 'coco/bbox_map'
    cfg.default_hooks.checkpoint.rule = 'greater'
    cfg.dump(tmp_path / 'job.py')
    trained = []
    monkeypatch.setattr(tool, 'build_runner', trained.append)
    with pytest.raises(KeyError, match='coco/bbox_map'):
        tool.main([str(tmp_path / 'job.py'), '--dry-run'])
    assert not trained and not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    'error',
    [
        torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.'),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_names_the_knobs(tool, tmp_path, monkeypatch, error):
    class Full:
        def train(self):
            raise error

    (tmp_path / 'job.py').write_text(
        'img_scale = (640, 640)\ntrain_dataloader = dict(batch_size=8)\n'
        'optim_wrapper = dict(type="OptimWrapper")\nmodel = dict(train_cfg=dict(views_in_turn=False))\n'
    )
    monkeypatch.setattr(tool, 'build_runner', lambda cfg: Full())
    with pytest.raises(MemoryError) as caught:
        tool.main([str(tmp_path / 'job.py'), '--work-dir', str(tmp_path)])
    text = str(caught.value)
    for knob in (
        'batch_size=4 (now 8 a process)',
        'accumulative_counts=2 (now 1)',
        '--amp',
        'views_in_turn=True',
        'activation_checkpointing',
        'img_scale: smaller pictures (now (640, 640))',
    ):
        assert knob in text
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(('wrapper', 'proposed'), [('OptimWrapper', True), ('mmyolor_mtl.MTLAmpOptimWrapper', False)])
def test_mixed_precision_is_proposed_where_it_is_off(wrapper, proposed):
    with pytest.raises(MemoryError) as caught, out_of_memory_advice({'optim_wrapper': {'type': wrapper}}):
        raise MemoryError
    assert ('--amp' in str(caught.value)) == proposed


def test_real_want_of_memory_is_recognised():
    with pytest.raises(MemoryError, match='What takes less'), out_of_memory_advice({}):
        torch.empty(2**50)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match='^something else$'), out_of_memory_advice({}):
        raise RuntimeError('something else')


def test_checkpointing_of_activations_trains(scenes, tmp_path):
    cfg = tiny_config(scenes, tmp_path, max_epochs=1)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.activation_checkpointing = ['backbone']
    assert train(cfg).iter == 3


def test_tensorboard_gets_losses_speed_and_figures(scenes, tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    cfg = tiny_config(scenes, tmp_path, max_epochs=1)
    cfg.visualizer.vis_backends = [dict(type='TensorboardVisBackend')]
    train(cfg)
    (file,) = Path(tmp_path).rglob('events.out.tfevents*')
    events = EventAccumulator(str(file))
    events.Reload()
    names = set(events.Tags()['scalars'])
    assert {'loss', 'loss_sem_dice', 'lr', 'time', 'data_time', 'images_per_s'} <= names
    assert {'coco/bbox_mAP', 'sem/mIoU', 'pan/PQ', 'cap/CIDEr'} <= names
    losses = events.Scalars('loss')
    assert [event.step for event in losses] == [1, 2, 3] and all(event.value > 0 for event in losses)
