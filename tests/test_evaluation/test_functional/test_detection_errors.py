import importlib.util
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.evaluation.functional.detection_errors import (
    ERRORS,
    KINDS,
    SIZES,
    detection_quality,
    judge_detections,
    score_histogram,
)


def box_iou(one, other):
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return inner / (areas[0][:, None] + areas[1][None, :] - inner)


def judge(found, true, crowd=None):
    """Judge lists of (box, label[, score])."""
    boxes, gt_boxes = (np.array([one[0] for one in part], float).reshape(-1, 4) for part in (found, true))
    labels, gt_labels = (np.array([one[1] for one in part], int) for part in (found, true))
    scores = np.array([one[2] for one in found], float)
    areas, gt_areas = ((part[:, 2:] - part[:, :2]).prod(axis=1) for part in (boxes, gt_boxes))
    crowd = np.zeros(len(true), bool) if crowd is None else np.array(crowd)
    return judge_detections(box_iou(boxes, gt_boxes), labels, scores, areas, gt_labels, gt_areas, crowd)


def kinds(judged):
    return [KINDS[kind] for kind in judged.kinds]


A, B = (0, 0, 20, 20), (50, 50, 90, 90)
NEAR_A = (0, 0, 20, 6)  # IoU 0.3
FAR = (200, 200, 210, 210)


@pytest.mark.parametrize(
    ('found', 'expected'),
    [
        ((A, 0, 0.9), 'correct'),
        ((A, 1, 0.9), 'class'),
        ((NEAR_A, 0, 0.9), 'localisation'),
        ((NEAR_A, 1, 0.9), 'both'),
        ((FAR, 0, 0.9), 'background'),
    ],
)
def test_one_detection_of_every_kind(found, expected):
    judged = judge([found], [(A, 0)])
    assert kinds(judged) == [expected]
    assert judged.partners[0] == (-1 if expected == 'background' else 0)
    assert judged.overlaps[0] == pytest.approx({'class': 1, 'correct': 1, 'background': 0}.get(expected, 0.3))
    assert judged.found(0.5).tolist() == [expected == 'correct']
    assert judged.missed(0.5).tolist() == [expected in ('both', 'background')]


def test_the_second_on_an_object_is_a_duplicate_whatever_the_order():
    for found in ([(A, 0, 0.6), (A, 0, 0.9)], [(A, 0, 0.9), (A, 0, 0.6)]):
        judged = judge(found, [(A, 0), (B, 1)])
        assert sorted(zip(judged.scores, kinds(judged), strict=True)) == [(0.6, 'duplicate'), (0.9, 'correct')]
        assert judged.missed(0.0).tolist() == [False, True]


def test_a_detection_takes_another_free_object_rather_than_being_a_duplicate():
    judged = judge([(A, 0, 0.9), (A, 0, 0.8)], [(A, 0), ((0, 0, 20, 15), 0)])
    assert kinds(judged) == ['correct', 'correct'] and judged.found(0.0).all()


def test_crowds_excuse_and_are_never_missed():
    judged = judge([(A, 0, 0.9), (A, 1, 0.9)], [(A, 0), (B, 1)], crowd=[True, False])
    assert kinds(judged) == ['ignored', 'background']
    assert judged.gt_labels.tolist() == [1] and judged.missed(0.0).tolist() == [True]
    assert judged.confusion(2, 0.0).tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_low_scores_are_judged_and_do_not_count():
    judged = judge([(A, 0, 0.2)], [(A, 0)])
    assert judged.counts(0.5) == {'objects': 1, 'found': 0, **dict.fromkeys(KINDS, 0), 'missed': 1}
    assert judged.counts(0.1)['correct'] == 1
    assert score_histogram([judged, judged], bins=4) == {'correct': [2, 0, 0, 0], 'wrong': [0, 0, 0, 0]}


def test_confusion_has_true_rows_and_predicted_columns():
    found = [(A, 1, 0.9), (B, 1, 0.8), (B, 1, 0.7), (FAR, 0, 0.6)]
    judged = judge(found, [(A, 0), (B, 1), ((300, 0, 320, 20), 2)])
    assert judged.confusion(3, 0.5).tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0]]


def test_sizes_are_those_of_the_box_itself():
    small, shifted, large = (0, 0, 31, 31), (0, 0, 33, 32), (100, 100, 300, 300)
    judged = judge([(shifted, 0, 0.9), (large, 1, 0.9)], [(small, 0), (large, 0)])
    counts = {size: judged.counts(0.5, size) for size in SIZES}
    assert [one['objects'] for one in counts.values()] == [1, 0, 1]
    assert [one['found'] for one in counts.values()] == [1, 0, 0]
    assert [one['correct'] for one in counts.values()] == [0, 1, 0] and counts['large']['class'] == 1


def test_quality_is_f1():
    counts = judge([(A, 0, 0.9), (FAR, 0, 0.9)], [(A, 0), (B, 1)]).counts(0.5)
    assert detection_quality(counts) == pytest.approx(2 / 4)
    assert detection_quality(judge([(A, 0, 0.9)], [(A, 0)]).counts(0.5)) == 1
    assert np.isnan(detection_quality(judge([], []).counts(0.5)))


def test_the_matrix_of_overlaps_must_fit():
    with pytest.raises(ValueError, match=r'overlaps \(2, 2\) of 1 detections'):
        empty = np.zeros(1)
        judge_detections(np.zeros((2, 2)), empty.astype(int), empty, empty, np.zeros(2, int), np.zeros(2), np.zeros(2))


def random_scene(seed, number, classes=3):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (number, 2))
    return np.concatenate([corner, corner + rng.uniform(4, 40, (number, 2))], axis=1), rng.integers(0, classes, number)


@given(st.integers(0, 10_000), st.integers(0, 8), st.integers(0, 8), st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_nothing_is_lost_or_counted_twice(seed, num_found, num_true, score_thr):
    rng = np.random.default_rng(seed)
    boxes, labels = random_scene(seed, num_found)
    gt_boxes, gt_labels = random_scene(seed + 1, num_true)
    scores = rng.permutation(num_found) / max(num_found, 1)
    found = list(zip(boxes, labels, scores, strict=True))
    true = list(zip(gt_boxes, gt_labels, strict=True))
    judged = judge(found, true)
    counts, matrix = judged.counts(score_thr), judged.confusion(3, score_thr)
    assert sum(counts[kind] for kind in KINDS) == (scores >= score_thr).sum()
    assert counts['correct'] == counts['found'] <= counts['objects'] == num_true
    assert counts['found'] + counts['missed'] <= num_true
    assert not (judged.found(score_thr) & judged.missed(score_thr)).any()
    used = labels[scores >= score_thr]
    assert matrix[:, :3].sum(axis=0).tolist() == np.bincount(used, minlength=3).tolist()
    assert np.trace(matrix[:3, :3]) == counts['correct']
    assert sum(judged.counts(score_thr, size)['objects'] for size in SIZES) == num_true
    # The order in which detections come does not matter.
    order = rng.permutation(num_found)
    shuffled = judge([found[i] for i in order], true)
    assert shuffled.kinds.tolist() == judged.kinds[order].tolist()


@given(st.integers(0, 10_000), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_perfect_detections_have_no_errors(seed, number):
    boxes, labels = random_scene(seed, number)
    judged = judge([(b, n, 0.9) for b, n in zip(boxes, labels, strict=True)], list(zip(boxes, labels, strict=True)))
    counts = judged.counts(0.5)
    assert counts['found'] == number and not counts['missed'] and not any(counts[kind] for kind in ERRORS)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_confusion_equals_mmdets_where_objects_lie_apart(seed):
    script = Path(mmdet.__path__[0], '.mim', 'tools', 'analysis_tools', 'confusion_matrix.py')
    if not script.is_file():
        pytest.skip('this mmdet came without its tools')
    spec = importlib.util.spec_from_file_location('mmdet_confusion', script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rng = np.random.default_rng(seed)
    number, classes = 12, 4
    corners = np.stack([np.arange(number) % 4 * 100, np.arange(number) // 4 * 100], axis=1) + rng.uniform(
        0, 20, (12, 2)
    )
    boxes = np.concatenate([corners, corners + rng.uniform(30, 60, (number, 2))], axis=1).astype(np.float32)
    labels = rng.integers(0, classes, number)
    seen = rng.random(number) > 0.3
    found_boxes = boxes[seen] + rng.normal(0, 6, (int(seen.sum()), 4)).astype(np.float32)
    found_labels = np.where(rng.random(number) > 0.3, labels, rng.integers(0, classes, number))[seen]
    scores = rng.uniform(0, 1, int(seen.sum())).astype(np.float32)
    theirs = np.zeros((classes + 1, classes + 1))
    module.analyze_per_img_dets(
        theirs,
        [dict(bbox=b, bbox_label=n) for b, n in zip(boxes, labels, strict=True)],
        {k: torch.from_numpy(v) for k, v in dict(labels=found_labels, bboxes=found_boxes, scores=scores).items()},
        score_thr=0.3,
        tp_iou_thr=0.5,
    )
    ours = judge(
        list(zip(found_boxes.astype(float), found_labels, scores, strict=True)),
        list(zip(boxes.astype(float), labels, strict=True)),
    ).confusion(classes, 0.3)
    # mmdet calls an object in a wrong class missed as well.
    wrong = ours[:-1, :-1].sum(axis=1) - np.diagonal(ours)[:-1]
    theirs[:-1, -1] -= wrong
    assert ours.tolist() == theirs.tolist()
