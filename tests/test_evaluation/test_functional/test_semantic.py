import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmseg.evaluation import IoUMetric

from mmyolor_mtl.evaluation.functional import class_scores, pixel_counts, semantic_scores, stuff_labels


def test_by_hand():
    gt = np.array([[0, 0, 1, 255]])
    pred = np.array([[0, 1, 1, 0]])
    counts = pixel_counts(pred, gt, 3)
    assert counts.tolist() == [[1, 1, 0], [1, 2, 0], [2, 1, 0]]
    iou, recall = class_scores(counts)
    assert iou.tolist() == pytest.approx([0.5, 0.5, np.nan], nan_ok=True)
    assert recall.tolist() == pytest.approx([0.5, 1, np.nan], nan_ok=True)
    assert semantic_scores(counts) == pytest.approx({'mIoU': 0.5, 'aAcc': 2 / 3, 'mAcc': 0.75, 'FWIoU': 0.5})


def test_classes_that_are_only_predicted():
    counts = pixel_counts(np.array([[0, 1]]), np.array([[0, 0]]), 2)
    assert semantic_scores(counts)['mIoU'] == 0.25
    assert semantic_scores(counts, only_true=True)['mIoU'] == 0.5


@given(st.integers(0, 10**6), st.integers(2, 6))
def test_counts_equal_mmseg_s(seed, number):
    rng = np.random.default_rng(seed)
    pred, gt = rng.integers(0, number + 2, (4, 5)), rng.choice([*range(number), 255], (4, 5))
    right, _, of_pred, of_gt = IoUMetric.intersect_and_union(torch.from_numpy(pred), torch.from_numpy(gt), number, 255)
    assert pixel_counts(pred, gt, number).tolist() == [right.tolist(), of_pred.tolist(), of_gt.tolist()]


def test_large_pictures_are_counted_exactly():
    gt = np.zeros((4097, 4099), np.uint8)  # more pixels than a float32 can count one by one
    gt[-1, -3:] = 1
    assert pixel_counts(gt, gt, 2).tolist() == [[gt.size - 3, 3]] * 3


def test_shapes_differ():
    with pytest.raises(ValueError, match=r'\(1, 2\), the semantic map \(2, 1\)'):
        pixel_counts(np.zeros((1, 2), int), np.zeros((2, 1), int), 2)


@given(st.integers(0, 10**6), st.integers(0, 3), st.integers(1, 3))
def test_stuff_protocol_equals_plain_loops(seed, things, stuff):
    rng = np.random.default_rng(seed)
    last = things + stuff
    gt, pred = rng.choice([*range(last), last, 255], (5, 6)), rng.integers(0, last + 2, (5, 6))
    right, of_pred, of_gt = np.zeros((3, stuff + 1), int)
    for true, found in zip(gt.ravel(), pred.ravel(), strict=True):
        if true < last:
            true = stuff if true < things else true - things
            found = found - things if things <= found < last else stuff
            of_gt[true] += 1
            of_pred[found] += 1
            right[true] += true == found
    counts = pixel_counts(stuff_labels(pred, things, stuff, rest=stuff), stuff_labels(gt, things, stuff), stuff + 1)
    assert counts.tolist() == [right.tolist(), of_pred.tolist(), of_gt.tolist()]
    # A stuff class counts the same in both protocols.
    assert (counts[:, :stuff] == pixel_counts(pred, gt, last)[:, things:]).all()
