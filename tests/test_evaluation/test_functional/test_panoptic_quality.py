import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.evaluation.functional import panoptic_quality, segment_statistics


def slow_statistics(pred_map, pred_categories, gt_map, gt_categories, crowds):
    """The rules written out segment by segment."""
    rows = {}
    matched_pred, matched_gt = set(), set()
    void = np.isin(gt_map, list(gt_categories), invert=True)

    def add(category, place, value=1.0):
        rows.setdefault(category, [0.0] * 4)[place] += value

    preds = [p for p in pred_categories if (pred_map == p).any()]
    gts = [g for g in gt_categories if (gt_map == g).any()]
    for g in gts:
        for p in preds:
            if g in crowds or gt_categories[g] != pred_categories[p]:
                continue
            a, b = gt_map == g, pred_map == p
            iou = (a & b).sum() / ((a | b) & ~(b & void)).sum()
            if iou > 0.5:
                add(gt_categories[g], 0, iou)
                add(gt_categories[g], 1)
                matched_gt.add(g)
                matched_pred.add(p)
    for g in gts:
        if g not in matched_gt and g not in crowds:
            add(gt_categories[g], 3)
    for p in preds:
        if p in matched_pred:
            continue
        excused = void.copy()
        for g in crowds:
            if gt_categories[g] == pred_categories[p]:
                excused |= gt_map == g
        area = pred_map == p
        if (area & excused).sum() / area.sum() <= 0.5:
            add(pred_categories[p], 2)
    return rows


@given(st.integers(0, 10**6))
def test_equals_plain_loops(seed):
    rng = np.random.default_rng(seed)
    shape = (6, 9)
    base = np.kron(rng.integers(0, 5, (2, 3)), np.ones((3, 3), int))  # blocks, so that matches happen
    gt_map = np.where(rng.random(shape) < 0.8, base, rng.integers(0, 6, shape))
    pred_map = np.where(rng.random(shape) < 0.8, base, rng.integers(0, 6, shape))
    pred_map = np.where(pred_map > 0, pred_map * 1000, 0)
    gt_categories = {i: int(rng.integers(1, 4)) for i in range(1, 6)}
    pred_categories = {i * 1000: int(rng.integers(1, 4)) for i in range(1, 6)}
    crowds = {i for i in gt_categories if rng.random() < 0.2}
    expected = slow_statistics(pred_map, pred_categories, gt_map, gt_categories, crowds)
    rows = segment_statistics(pred_map, pred_categories, gt_map, gt_categories, crowds)
    assert {int(row[0]): row[1:].tolist() for row in rows} == {k: pytest.approx(v) for k, v in expected.items()}


def test_perfect():
    ids = np.array([[1, 1, 2], [3, 3, 0]])
    categories = {1: 7, 2: 7, 3: 9}
    rows = segment_statistics(ids, categories, ids, categories)
    assert rows.tolist() == [[7, 2, 2, 0, 0], [9, 1, 1, 0, 0]]
    quality = panoptic_quality([rows, rows], thing_ids=[7])
    assert quality == {f'{name}{part}': 1.0 for part in ('', '_th', '_st') for name in ('PQ', 'SQ', 'RQ')}


def test_by_hand():
    # Category 1: one match with IoU 3/4 (a pixel of the union is missed), one miss. Category 2: one false alarm.
    gt = np.array([[1, 1, 1, 1, 2, 2]])
    pred = np.array([[1, 1, 1, 0, 5, 5]])
    rows = segment_statistics(pred, {1: 1, 5: 2}, gt, {1: 1, 2: 1})
    assert rows.tolist() == [[1, 0.75, 1, 0, 1], [2, 0, 0, 1, 0]]
    quality = panoptic_quality([rows], thing_ids=[1])
    assert quality['PQ_th'] == pytest.approx(0.75 / 1.5)
    assert quality['SQ_th'] == pytest.approx(0.75)
    assert quality['RQ_th'] == pytest.approx(1 / 1.5)
    assert quality['PQ_st'] == 0
    assert quality['PQ'] == pytest.approx(0.25)


def test_half_is_no_match():
    gt = np.array([[1, 1, 3, 3]])
    pred = np.array([[1, 0, 3, 3]])
    assert segment_statistics(pred, {1: 1, 3: 2}, gt, {1: 1, 3: 2}).tolist() == [[1, 0, 0, 1, 1], [2, 1, 1, 0, 0]]


def test_void_and_crowd_excuse():
    gt = np.array([[0, 0, 0, 1, 1, 1, 2, 2]])
    pred = np.array([[4, 4, 4, 5, 5, 5, 0, 0]])
    rows = segment_statistics(pred, {4: 1, 5: 1}, gt, {1: 1, 2: 2}, crowd_ids={1})
    assert rows.tolist() == [[2, 0, 0, 0, 1]]  # neither prediction is wrong, the crowd is not missed
    rows = segment_statistics(pred, {4: 1, 5: 2}, gt, {1: 1, 2: 2}, crowd_ids={1})
    assert rows.tolist() == [[2, 0, 0, 1, 1]]  # a crowd of another category excuses nothing


def test_nothing():
    empty = np.zeros((2, 2), int)
    assert segment_statistics(empty, {}, empty, {}).shape == (0, 5)
    assert panoptic_quality([], thing_ids=[1]) == {}


def test_shapes_differ():
    with pytest.raises(ValueError, match=r'\(2, 2\), the ground truth \(2, 3\)'):
        segment_statistics(np.zeros((2, 2), int), {}, np.zeros((2, 3), int), {})
