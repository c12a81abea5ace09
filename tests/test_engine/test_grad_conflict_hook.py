"""Watching task gradients: right figures, and a training that does not notice."""

import copy
import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.optim import SGD

from mmyolor_mtl.engine.hooks import GradConflictHook
from mmyolor_mtl.engine.hooks.grad_conflict_hook import compare
from mmyolor_mtl.utils.task_losses import sum_by_task
from tests.test_models.helpers import labelled_sample
from tests.test_models.test_detectors.test_yolor_mtl import batch, build
from tests.test_train.conftest import tiny_config
from tests.test_train.test_runner import scalars

LAYERS = ['backbone.stage4', 'neck.top_down*']


def train(root, work_dir, hooks, dropout):
    cfg = tiny_config(root, work_dir)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.model.heads.cap.dropout = dropout
    cfg.custom_hooks = hooks
    cfg.randomness = dict(seed=5)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner, torch.rand(3)


def test_training_is_the_same_bit_for_bit(scenes, tmp_path):
    hook = dict(type='mmyolor_mtl.GradConflictHook', layers=LAYERS, interval=2)
    watched, random = train(scenes, tmp_path / 'watched', [hook], 0.2)
    alone, same_random = train(scenes, tmp_path / 'alone', [], 0.2)
    state = alone.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in watched.model.state_dict().items())
    assert torch.equal(random, same_random)
    lines = [json.loads(line) for line in (tmp_path / 'watched/grad_conflict.jsonl').open()]
    assert [(line['iter'], line['epoch']) for line in lines] == [(0, 0), (2, 0), (4, 1)]
    vision = {'det-ins', 'det-sem', 'ins-sem'}
    captions = {'det-cap', 'ins-cap', 'sem-cap'}
    for line in lines:
        stage, neck = (line['layers'][layer] for layer in LAYERS)
        assert set(stage['cosine']) == set(stage['norm_ratio'])
        assert set(stage['cosine']) in (vision, vision | captions)  # some batches have no captions
        assert set(neck['cosine']) == vision  # captions read the backbone
        assert all(-1 <= value <= 1 for value in stage['cosine'].values())
    assert any(captions <= set(line['layers'][LAYERS[0]]['cosine']) for line in lines)
    logged = [line for line in scalars(tmp_path / 'watched') if f'conflict/{LAYERS[0]}/cosine/det-sem' in line]
    assert [line['step'] for line in logged] == [0, 2, 4]
    assert logged[0][f'conflict/{LAYERS[0]}/cosine/det-sem'] == lines[0]['layers'][LAYERS[0]]['cosine']['det-sem']


def test_figures_are_those_of_the_summed_losses_gradients(tmp_path):
    model = build().train()
    data = batch([labelled_sample(), labelled_sample(seed=1)])
    seen = {}
    runner = SimpleNamespace(
        model=model,
        iter=0,
        epoch=0,
        work_dir=tmp_path,
        optim_wrapper=OptimWrapper(SGD(model.parameters(), lr=0.1)),
        visualizer=SimpleNamespace(add_scalars=lambda values, step: seen.update(values)),
    )
    GradConflictHook(['neck.spp'], interval=1).before_train_iter(runner, 0, data)
    assert all(p.grad is None for p in model.parameters())
    losses = sum_by_task(model(**model.data_preprocessor(copy.deepcopy(data), True), mode='loss', views=('vision',)))
    parameters = [p for p in model.neck.spp.parameters()]
    det, sem = (
        torch.cat([g.flatten() for g in torch.autograd.grad(losses[task], parameters, retain_graph=True)])
        for task in ('det', 'sem')
    )
    cosine = torch.nn.functional.cosine_similarity(det, sem, dim=0).item()
    assert seen['conflict/neck.spp/cosine/det-sem'] == pytest.approx(cosine, abs=1e-4)
    assert seen['conflict/neck.spp/norm_ratio/det-sem'] == pytest.approx(float(det.norm() / sem.norm()), rel=1e-3)


def test_two_quadratics():
    """|x - a|^2 / 2 and |x - b|^2 / 2 at x = 0: the gradients are -a and -b."""
    found = compare({'det': torch.tensor([-3.0, 0.0]), 'cap': torch.tensor([1.0, -1.0]), 'sem': torch.zeros(2)})
    assert found['norm'] == {'det': 3.0, 'cap': pytest.approx(2**0.5)}
    assert found['cosine'] == {'det-cap': pytest.approx(-(0.5**0.5))}
    assert found['norm_ratio'] == {'det-cap': pytest.approx(3 / 2**0.5)}


def test_settings_are_checked():
    with pytest.raises(ValueError, match='interval=0'):
        GradConflictHook(['backbone'], interval=0)
    with pytest.raises(ValueError, match="layers='backbone'"):
        GradConflictHook('backbone')
    with pytest.raises(ValueError, match='no module is called backbone.stage7'):
        GradConflictHook(['backbone.stage7']).before_run(SimpleNamespace(model=build()))
