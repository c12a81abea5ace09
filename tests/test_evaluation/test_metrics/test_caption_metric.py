import json
import sys

import numpy as np
import pytest
from pycocotools.coco import COCO

from mmyolor_mtl.registry import METRICS

from ..helpers import golden

DIVERSITY = ('distinct_1', 'distinct_2', 'vocabulary', 'vocabulary_share', 'mean_length')
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
    assert list(figures) == [f'cap/{name}' for name in (*NAMES, *DIVERSITY)]
    assert figures['cap/mean_length'] == pytest.approx(26 / 6)
    for name in NAMES:
        assert figures[f'cap/{name}'] == pytest.approx(golden()['scores'][name], abs=1e-9)


def test_perfect():
    refs = [['A red ball on grass.'], ['Two cubes stand in the sand.'], ["A cone's shadow falls on a wall."]]
    figures = run([{'img_id': i, 'pred_caption': r[0].upper(), 'gt_captions': r} for i, r in enumerate(refs)])
    assert figures.pop('cap/CIDEr') == pytest.approx(10)
    assert [figures[f'cap/{name}'] for name in NAMES[:-1]] == pytest.approx([1] * 5)
    assert figures['cap/vocabulary_share'] == 1


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
    assert figures == {f'cap/{name}': pytest.approx(0, abs=1e-9) for name in (*NAMES, *DIVERSITY)}


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


@pytest.fixture
def log(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'mmyolor_mtl.evaluation.metrics.caption_metric.print_log', lambda text, **kwargs: lines.append(text)
    )
    return lines


def write_references(path, references):
    annotations = [{'image_id': i, 'id': 10 * i, 'caption': c} for i, refs in references.items() for c in refs]
    path.write_text(json.dumps({'images': [{'id': i} for i in references], 'annotations': annotations}))
    return str(path)


def test_references_from_a_file(tmp_path, log):
    """Samples without captions; one image of the file is never visited, one has no captions, one is unknown to it."""
    samples = make_samples()
    references = {sample['img_id']: sample.pop('gt_captions') for sample in samples}
    expected = run(make_samples())
    ann_file = write_references(tmp_path / 'captions.json', {**references, 98: [], 99: ['A dog.', 'A cat.']})
    extra = [{'img_id': i, 'pred_caption': 'A dog'} for i in (98, 100)]
    assert run([*samples, *extra], ann_file=ann_file) == pytest.approx(expected)
    assert log == [
        'CaptionMetric: no caption of 1 image (99) with references; not scored',
        'CaptionMetric: no references of 2 images (98, 100) with captions; not scored',
    ]


def test_images_without_a_caption_are_named(log):
    samples = make_samples()
    silent = [{'img_id': i, 'pred_caption': None, 'gt_captions': ['A dog.']} for i in range(50, 57)]
    assert run([*samples, *silent]) == run(samples)
    assert log == ['CaptionMetric: no caption of 7 images (50, 51, 52, 53, 54, ...) with references; not scored']


def test_written_file_reads_back_with_pycocotools(tmp_path):
    samples = make_samples()
    ann_file = write_references(tmp_path / 'captions.json', {s['img_id']: s['gt_captions'] for s in samples})
    for sample in samples:
        sample['img_id'] = np.int64(sample['img_id'])
    run([*samples, samples[0]], outfile_prefix=str(tmp_path / 'val'))
    results = COCO(ann_file).loadRes(str(tmp_path / 'val.caption.json'))
    assert {i: [a['caption'] for a in anns] for i, anns in results.imgToAnns.items()} == {
        int(sample['img_id']): [sample['pred_caption']] for sample in samples
    }


def test_chosen_metrics(log, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocoevalcap.meteor.meteor', None)
    assert list(run(make_samples(), metrics=['ROUGE_L', 'METEOR'])) == ['cap/ROUGE_L']
    assert log == ['METEOR is left out: METEOR needs pycocoevalcap: pip install pycocoevalcap']
    with pytest.raises(ValueError, match='choose from'):
        make_metric(metrics=['wer'])
    with pytest.raises(FileNotFoundError, match=r'none\.json'):
        make_metric(ann_file='none.json')
