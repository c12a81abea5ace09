"""Means, spreads and the cost of added tasks, against numbers worked out by hand."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import ConfigDict

from mmyolor_mtl.evaluation.ablation_report import Variant, format_report, short_names, spread, summarise

HEADS = {'det': dict(type='D'), 'ins': dict(type='I'), 'sem': dict(type='S'), 'cap': dict(type='C')}


def variant(tasks, cost, figures, *, suffix='', backbone='B', **heads):
    model = dict(type='M', backbone=backbone, neck='N', heads={**{t: HEADS[t] for t in tasks.split('-')}, **heads})
    runs = [
        dict(seed=seed, status='finished', resumed=False, seconds=60.0, cpu_seconds=50.0 + seed, metrics=metrics)
        for seed, metrics in enumerate(figures)
    ]
    return Variant(Path(f'net_{tasks}{suffix}_small.py'), ConfigDict(model=model), 'd', dict(cost), runs)


@pytest.fixture
def variants():
    return [
        variant('sem', dict(parameters=100, gflops=1.0), [{'sem/mIoU': 0.4}, {'sem/mIoU': 0.6}]),
        variant('det-sem', dict(parameters=150, gflops=1.5), [{'sem/mIoU': 0.5, 'coco/bbox_mAP': 0.25}]),
        variant(
            'det-sem-cap',
            dict(parameters=400, gflops=4.0, step_seconds=2.0),
            [{'sem/mIoU': 0.55, 'coco/bbox_mAP': 0.2, 'cap/Bleu_4': 0.1}, {'sem/mIoU': 0.65, 'cap/Bleu_4': None}],
        ),
        variant('det-sem-cap', dict(parameters=500), [{'sem/mIoU': 0.1}], suffix='_strong'),
        variant('ins-cap', dict(parameters=9), [{'sem/mIoU': 0.1}]),
    ]


def test_added_tasks(variants):
    summary = json.loads(json.dumps(summarise(variants)))
    pairs = {(pair['less'], pair['more']): pair for pair in summary['added_tasks']}
    # Neighbours only, and of equal tasks the first.
    assert set(pairs) == {('net_sem_small', 'net_det-sem_small'), ('net_det-sem_small', 'net_det-sem-cap_small')}
    first, second = pairs.values()
    assert first['tasks'] == ['det'] and second['tasks'] == ['cap']
    assert first['cost'] == {'parameters': 50, 'gflops': 0.5} and second['cost'] == {'parameters': 250, 'gflops': 2.5}
    assert first['changes'] == {'sem/mIoU': {'mean': pytest.approx(0), 'std': None}}  # one seed has no spread
    assert first['brings'] == {'coco/bbox_mAP': {'mean': 0.25, 'std': None, 'n': 1}}
    assert second['changes']['sem/mIoU']['mean'] == pytest.approx(0.1)
    assert second['brings']['cap/Bleu_4'] == {'mean': 0.1, 'std': None, 'n': 1}
    # Without the middle one, the spreads of two seeds each add up.
    (pair,) = summarise([variants[0], variants[2]])['added_tasks']
    assert pair['tasks'] == ['det', 'cap']
    assert pair['changes']['sem/mIoU'] == {
        'mean': pytest.approx(0.1),
        'std': pytest.approx(math.sqrt(0.02 + 0.005)),
    }


def test_other_networks_are_not_compared(variants):
    other = variant('det-sem', {}, [], suffix='_wide', backbone='W')
    changed = variant('sem', {}, [], suffix='_multi', sem=dict(type='S', num_levels=3))
    assert not summarise([variants[0], other])['added_tasks']
    assert not summarise([changed, variants[1]])['added_tasks']


def test_report(variants):
    variants[0].runs.append(dict(seed=2, status='failed', resumed=False, message='exit status 1\nno disk'))
    variants[0].runs[1]['resumed'] = True
    report = format_report(summarise(variants))
    assert '| variant | seeds | box AP | mIoU | BLEU-4 |' in report
    assert '| sem | 2 |  | 0.500 ± 0.141 |  |' in report
    assert '| det-sem-cap_strong | 1 |  | 0.100 |  |' in report
    assert '| sem | 100 | 1 |  | 60 | 50 |' in report  # the resumed run has no time
    assert '| det-sem-cap | 400 | 4 | 2.000 | 60 ± 0 | 50 ± 1 |' in report
    assert '| det-sem | cap | +250 | +2.5 | BLEU-4 0.100 | box AP -0.050, mIoU +0.100 |' in report
    assert '### sem, seed 2\n\n```text\nexit status 1\nno disk\n```' in report
    columns = {table.count('|', 0, table.index('\n')) for table in report.split('\n\n') if table.startswith('|')}
    for table in report.split('\n\n'):
        if table.startswith('|'):
            assert {line.count('|') for line in table.strip().splitlines()} <= columns


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_spread_does_not_depend_on_order_and_shift(values):
    there, back = spread(values), spread(values[::-1])
    assert there['mean'] == pytest.approx(back['mean']) and there['std'] == pytest.approx(back['std'])
    assert there['std'] == pytest.approx(spread([value + 1 for value in values])['std'], abs=1e-9)
    assert there['n'] == len(values) and (there['std'] > 0) == (len(set(values)) > 1)


@given(st.lists(st.from_regex(r'[ab](_[ab]){0,4}', fullmatch=True), min_size=2, max_size=6, unique=True))
def test_short_names_stay_different_and_not_empty(names):
    short = short_names(names)
    assert len(set(short.values())) == len(names) and all(short.values())
    assert all(part in name for name, part in short.items())
