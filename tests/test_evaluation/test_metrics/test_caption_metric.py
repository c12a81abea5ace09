import json

import pytest

from mmyolor_mtl.registry import METRICS

from ..helpers import golden

NAMES = ('Bleu_1', 'Bleu_2', 'Bleu_3', 'Bleu_4', 'ROUGE_L', 'CIDEr')


def make_metric(**kwargs):
    metric = METRICS.build(dict(type='mmyolor_mtl.CaptionMetric', **kwargs))
    metric.dataset_meta = {}
    return metric


def make_samples():
    data = golden()
    return [
        {'img_id': i, 'pred_caption': caption, 'gt_captions': refs, 'labelled_tasks': ('cap',)}
        for i, (caption, refs) in enumerate(zip(data['candidates'], data['references'], strict=True))
    ]


def run(samples, **kwargs):
    metric = make_metric(**kwargs)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_equals_official():
    figures = run(make_samples())
    assert figures == {f'cap/{name}': pytest.approx(golden()['scores'][name], abs=1e-9) for name in NAMES}


def test_perfect():
    refs = [['A red ball on grass.'], ['Two cubes stand in the sand.'], ["A cone's shadow falls on a wall."]]
    figures = run([{'img_id': i, 'pred_caption': r[0].upper(), 'gt_captions': r} for i, r in enumerate(refs)])
    assert figures == {**{f'cap/{name}': pytest.approx(1) for name in NAMES}, 'cap/CIDEr': pytest.approx(10)}


def test_ranks_merge_as_one():
    samples = make_samples()[:5]
    expected = run(samples)
    first, second = make_metric(), make_metric()
    first.process(None, samples[0::2])
    second.process(None, [samples[1], samples[3], samples[0]])  # padded with image 0
    merged = [result for pair in zip(first.results, second.results, strict=True) for result in pair]
    figures = make_metric().compute_metrics(merged)
    assert {f'cap/{k}': pytest.approx(v) for k, v in figures.items()} == expected


def test_unlabelled_is_written_but_not_scored(tmp_path):
    samples = make_samples()
    extra = {'img_id': 77, 'pred_caption': 'A wet dog', 'labelled_tasks': ('det',)}
    silent = {'img_id': 78, 'labelled_tasks': ('det',)}
    prefix = tmp_path / 'results' / 'val'
    figures = run([*samples, extra, silent], outfile_prefix=str(prefix))
    assert figures == run(samples)
    written = json.loads((tmp_path / 'results' / 'val.caption.json').read_text(encoding='utf-8'))
    assert written[0] == {'image_id': 0, 'caption': samples[0]['pred_caption']}
    assert [entry['image_id'] for entry in written] == [0, 1, 2, 3, 4, 5, 77]


def test_nothing_labelled(monkeypatch):
    warnings = []
    monkeypatch.setattr(
        'mmyolor_mtl.evaluation.metrics.common.print_log', lambda text, **kwargs: warnings.append((text, kwargs))
    )
    assert run([{'img_id': 1, 'pred_caption': 'A dog', 'labelled_tasks': ('det',)}]) == {}
    assert "CaptionMetric: no sample carries labels of the task 'cap'" in warnings[0][0]


def test_empty_captions_only():
    figures = run([{'img_id': i, 'pred_caption': '', 'gt_captions': ['A dog runs.']} for i in range(2)])
    assert figures == {f'cap/{name}': pytest.approx(0, abs=1e-9) for name in NAMES}


@pytest.mark.parametrize(
    ('sample', 'message'),
    [
        ({'img_id': 4, 'gt_captions': ['a dog']}, 'image 4 has no pred_caption'),
        ({'img_id': 4, 'pred_caption': 'a dog', 'labelled_tasks': ('cap',)}, 'image 4 has no gt_captions'),
    ],
)
def test_bad_sample(sample, message):
    with pytest.raises(ValueError, match=message):
        make_metric().process(None, [sample])
