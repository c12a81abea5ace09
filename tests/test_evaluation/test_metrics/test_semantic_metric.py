import json

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData

from mmyolor_mtl.evaluation import SemanticMetric
from mmyolor_mtl.registry import METRICS
from mmyolor_mtl.structures import decode_rle

from ..helpers import META

NUM_CLASSES = 7  # 3 things + 4 stuff; the extra class is 7


def make_sample(pred, gt, img_id=0, tasks=('sem',)):
    sample = DetDataSample(metainfo={'img_id': img_id, 'labelled_tasks': tasks})
    if pred is not None:
        sample.pred_sem_seg = PixelData(sem_seg=torch.as_tensor(pred)[None])
    if gt is not None:
        sample.gt_sem_seg = PixelData(sem_seg=torch.as_tensor(gt, dtype=torch.uint8)[None])
    return sample.to_dict()


def make_metric(**kwargs):
    metric = METRICS.build(dict(type='mmyolor_mtl.SemanticMetric', **kwargs))
    metric.dataset_meta = META
    return metric


def run(*samples, **kwargs):
    metric = make_metric(**kwargs)
    for sample in samples:
        metric.process(None, [sample])
    return metric.evaluate(len(samples))


def test_perfect():
    gt = torch.arange(NUM_CLASSES).reshape(1, -1)
    figures = run(make_sample(gt, gt))
    names = ['mIoU', 'aAcc', 'mAcc', 'FWIoU', 'mIoU_things', 'mIoU_stuff']
    names += ['stuff_mIoU', 'stuff_aAcc', 'stuff_mAcc', 'stuff_FWIoU']
    assert figures == {f'sem/{name}': 1.0 for name in names}


def test_by_hand():
    gt = [[0, 0, 0, 3], [3, 3, 255, 7]]  # the last two are not evaluated
    pred = [[0, 0, 1, 3], [3, 7, 5, 5]]  # 7: the extra class, wrong
    figures = run(make_sample(pred, gt))
    assert figures['sem/aAcc'] == pytest.approx(4 / 6)
    # IoU: class 0 2/3, class 1 0/1 (predicted alone), class 3 2/3; the others do not occur.
    assert figures['sem/mIoU'] == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)
    assert figures['sem/mIoU_things'] == pytest.approx(1 / 3)
    assert figures['sem/mIoU_stuff'] == pytest.approx(2 / 3)
    assert figures['sem/mAcc'] == pytest.approx(2 / 3)
    assert figures['sem/FWIoU'] == pytest.approx(2 / 3)
    # Stuff and other: grass (3) 2/3; other is right on three things and wrong on one grass (predicted as 7).
    assert figures['sem/stuff_mIoU'] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert figures['sem/stuff_aAcc'] == pytest.approx(5 / 6)
    assert figures['sem/stuff_mAcc'] == pytest.approx((2 / 3 + 1) / 2)
    assert figures['sem/stuff_FWIoU'] == pytest.approx((2 / 3 + 3 / 4) / 2)


def test_equals_confusion_matrix():
    rng = np.random.default_rng(0)
    maps = [
        (rng.integers(0, NUM_CLASSES + 1, (13, 17)), rng.choice([0, 1, 2, 4, 5, 6, 7, 255], (13, 17))) for _ in range(5)
    ]
    figures = run(*(make_sample(pred, gt, img_id=i) for i, (pred, gt) in enumerate(maps)))
    pred = np.concatenate([p.ravel() for p, _ in maps])
    gt = np.concatenate([g.ravel() for _, g in maps])
    kept = gt < NUM_CLASSES
    confusion = np.zeros((NUM_CLASSES, NUM_CLASSES + 1))
    np.add.at(confusion, (gt[kept], pred[kept]), 1)
    hits = np.diag(confusion)
    union = confusion.sum(1) + confusion.sum(0)[:NUM_CLASSES] - hits
    assert figures['sem/mIoU'] == pytest.approx((hits / union).mean())
    assert figures['sem/aAcc'] == pytest.approx(hits.sum() / kept.sum())
    assert figures['sem/FWIoU'] == pytest.approx((confusion.sum(1) / kept.sum() * hits / union).sum())


def test_ranks_merge_as_one():
    rng = np.random.default_rng(1)
    samples = [make_sample(rng.integers(0, 8, (5, 5)), rng.integers(0, 8, (5, 5)), img_id=i) for i in range(3)]
    unlabelled = make_sample(np.zeros((5, 5), int), None, img_id=3, tasks=('det',))
    expected = run(*samples, unlabelled)
    first, second = make_metric(), make_metric()
    first.process(None, [samples[0], samples[2], samples[1]])  # the sampler filled up with image 1
    second.process(None, [samples[1], unlabelled, unlabelled])
    merged = [result for pair in zip(first.results, second.results, strict=True) for result in pair]
    assert {f'sem/{k}': v for k, v in make_metric().compute_metrics(merged).items()} == expected


def test_unlabelled_is_skipped(monkeypatch):
    warnings = []
    monkeypatch.setattr('mmyolor_mtl.evaluation.metrics.common.print_log', lambda text, **_: warnings.append(text))
    gt = [[0, 1]]
    assert run(make_sample(gt, gt), make_sample([[1, 1]], gt, 1, tasks=('det', 'cap')))['sem/mIoU'] == 1
    assert not warnings
    assert run(make_sample(gt, None, tasks=('det',))) == {}
    assert run(make_sample(gt, [[255, 255]])) == {}
    assert [warning.split(':')[0] for warning in warnings] == ['SemanticMetric'] * 2


def test_presence_counts_without_labelled_tasks():
    sample = make_sample([[0, 1]], [[0, 1]])
    del sample['labelled_tasks']
    bare = {'img_id': 1, 'pred_sem_seg': sample['pred_sem_seg']}
    assert run(sample, bare)['sem/aAcc'] == 1


def test_things_only():
    metric = SemanticMetric()
    metric.dataset_meta = {'classes': ('a', 'b')}
    metric.process(None, [make_sample([[0, 1]], [[0, 1]])])
    assert set(metric.evaluate(1)) == {'sem/mIoU', 'sem/aAcc', 'sem/mAcc', 'sem/FWIoU', 'sem/mIoU_things'}


def test_a_single_class():
    metric = SemanticMetric()
    metric.dataset_meta = {'classes': ('a',), 'extra_classes': ('rest',)}
    metric.process(None, [make_sample([[0, 1, 1, 0]], [[0, 0, 0, 255]])])
    assert metric.evaluate(1)['sem/mIoU'] == pytest.approx(1 / 3)


def test_class_table_only_on_request(monkeypatch):
    lines = []
    monkeypatch.setattr('mmyolor_mtl.evaluation.metrics.common.print_log', lambda text, **_: lines.append(text))
    run(make_sample([[0, 3]], [[0, 3]]))
    assert not lines
    metric = make_metric(per_class=True)
    metric.process(None, [make_sample([[0, 3]], [[0, 3]])])
    metric.evaluate(1)
    assert 'grass | 1.000' in lines[0]
    assert ' cone  |   -   ' in lines[0]
    table = metric.class_tables['sem']
    assert [row['class'] for row in table] == metric.class_names
    assert table[3] == {'class': 'grass', 'IoU': 1.0, 'Acc': 1.0} and np.isnan(table[2]['IoU'])


def test_files(tmp_path):
    labelled = make_sample([[0, 3, 7]], [[0, 3, 255]], img_id=4)
    labelled['img_path'] = 'some/where/name.jpg'
    unlabelled = make_sample([[3, 3, 6]], None, img_id=5, tasks=('det',))
    run(labelled, unlabelled, outfile_prefix=str(tmp_path / 'new/results'))
    folder = tmp_path / 'new/results.semantic'
    maps = {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED).tolist() for path in folder.iterdir()}
    assert maps == {'name.png': [[1, 10, 0]], '5.png': [[10, 10, 13]]}
    stuff = json.loads((tmp_path / 'new/results.stuff.json').read_text())
    pixels = [(one['image_id'], one['category_id'], decode_rle(one['segmentation']).tolist()) for one in stuff]
    assert pixels == [
        (4, 10, [[False, True, False]]),
        (4, 14, [[True, False, True]]),
        (5, 10, [[True, True, False]]),
        (5, 13, [[False, False, True]]),
    ]
    again = {**unlabelled, 'img_id': 6, 'img_path': 'else/where/name.jpg'}
    with pytest.raises(ValueError, match=r'images 4 and 6 both wrote name.png'):
        run(labelled, again, outfile_prefix=str(tmp_path / 'twice'))


@pytest.mark.parametrize(
    ('sample', 'message'),
    [
        (make_sample(None, [[0]], img_id=9), 'image 9 has no pred_sem_seg'),
        (make_sample([[0]], None, img_id=9), 'image 9 has no gt_sem_seg'),
        (make_sample([[0]], [[0, 0]], img_id=9), r'image 9: the prediction is \(1, 1\), the semantic map \(1, 2\)'),
    ],
)
def test_bad_sample(sample, message):
    with pytest.raises(ValueError, match=message):
        make_metric().process(None, [sample])


def test_two_layers_are_refused():
    sample = make_sample([[0]], [[0]])
    sample['gt_sem_seg']['sem_seg'] = torch.zeros(2, 1, 1)
    with pytest.raises(ValueError, match=r'expected \(1, H, W\)'):
        make_metric().process(None, [sample])
