import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.evaluation.functional import pixel_counts
from mmyolor_mtl.evaluation.functional.semantic_errors import confusion_counts, most_confused, pixel_confusion


def test_rows_are_true_and_columns_predicted():
    target = np.array([[0, 0, 1], [2, 255, 1]])
    prediction = np.array([[0, 1, 1], [2, 0, 3]])
    assert pixel_confusion(prediction, target, 2, 4).tolist() == [[1, 1, 0, 0], [0, 1, 0, 1]]


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_counts_are_those_of_the_metric(seed, classes, extra):
    rng = np.random.default_rng(seed)
    prediction, target = (rng.integers(0, classes + extra, (9, 11)) for _ in range(2))
    target[rng.random(target.shape) < 0.2] = 255
    confusion = pixel_confusion(prediction, target, classes, classes + extra)
    assert confusion.sum() == (target < classes).sum()
    assert confusion_counts(confusion).tolist() == pixel_counts(prediction, target, classes).tolist()


def test_pairs_come_by_their_count():
    assert most_confused(np.array([[9, 2, 0], [5, 9, 0]]), 10) == [(1, 0, 5), (0, 1, 2)]
    assert most_confused(np.array([[9, 2, 0], [5, 9, 0]]), 1) == [(1, 0, 5)]
    assert most_confused(np.eye(3, dtype=int), 5) == []


def test_maps_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match=r'predicted map is \(2, 3\), the ground truth \(3, 2\)'):
        pixel_confusion(np.zeros((2, 3), int), np.zeros((3, 2), int), 2, 2)
    with pytest.raises(ValueError, match='class 5 is predicted, but there are 3'):
        pixel_confusion(np.full((2, 2), 5), np.zeros((2, 2), int), 2, 3)
