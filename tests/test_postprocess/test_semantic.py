import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.models.heads.resize import label_bands, label_pixels
from mmyolor_mtl.postprocess import Placement, semantic_labels
from mmyolor_mtl.postprocess.semantic import possible_classes, resized_window


def smooth_logits(seed, classes, cells):
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(max(cells[0] // 4, 1), max(cells[1] // 4, 1), classes)).astype(np.float32)
    planes = [cv2.resize(coarse[..., c], cells[::-1], interpolation=cv2.INTER_CUBIC) for c in range(classes)]
    return np.stack(planes) + rng.normal(size=(classes, *cells)).astype(np.float32) * 0.05


def oracle(logits, stride, placement):
    full, (top, left) = resized_window(logits.shape[1:], stride, placement)
    height, width = placement.image
    maps = F.interpolate(torch.from_numpy(logits)[None], full, mode='bilinear', align_corners=False)[0]
    return maps[:, top : top + height, left : left + width].argmax(0).numpy()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 90), st.integers(1, 90), st.integers(0, 10), st.integers(0, 14))
def test_equals_all_classes_at_once(seed, height, width, top, left):
    placement = Placement((height, width), (top, left), (48 - 2 * top, 64 - 2 * left))
    logits = smooth_logits(seed, 7, (12, 16))
    expected = oracle(logits, 4, placement)
    labels = semantic_labels(logits, 4, placement)
    assert labels.shape == (height, width) and labels.dtype == np.uint16
    # Of classes that are equal up to rounding either may be best.
    assert (labels != expected).mean() <= 1e-3
    bands = label_bands(torch.from_numpy(logits), 4, placement)
    assert bands.dtype == torch.int64 and (bands.numpy() != expected).mean() <= 1e-3
    assert torch.equal(label_pixels(torch.from_numpy(logits), 4, placement), torch.from_numpy(labels.astype(np.int64)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 3))
def test_no_class_that_wins_is_left_out(seed, noise):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(12, 5, 6)).astype(np.float32) * noise + rng.normal(size=(12, 1, 1)).astype(np.float32)
    winners = set(np.unique(oracle(logits, 16, Placement((80, 96), (0, 0), (80, 96)))).tolist())
    assert winners <= set(possible_classes(logits).tolist())


def test_most_classes_are_left_out_where_regions_are_clear():
    logits = np.full((173, 40, 40), -8, np.float32)
    logits[3, :, :20], logits[100, :, 20:] = 5, 5
    assert possible_classes(logits).tolist() == [3, 100]


def test_ties_go_to_the_first_class_and_many_classes_fit():
    logits = np.zeros((300, 4, 4), np.float32)
    logits[[7, 299]] = 1
    labels = semantic_labels(logits, 4, Placement.whole_input(16, 16))
    assert (labels == 7).all() and labels.dtype == np.uint16
    logits[299] = 2
    assert (semantic_labels(logits, 4, Placement.whole_input(16, 16)) == 299).all()


@pytest.mark.parametrize('size', [(12000, 60), (60, 12000), (1, 1)])
def test_extreme_pictures_take_no_more_than_themselves(size):
    height, width = size
    long = max(size)
    shown = (max(round(64 * height / long), 1), max(round(64 * width / long), 1))
    corner = ((64 - shown[0]) // 2, (64 - shown[1]) // 2)
    logits = np.full((5, 16, 16), -1, np.float32)
    logits[2] = 1
    labels = semantic_labels(logits, 4, Placement(size, corner, shown))
    assert labels.shape == size and (labels == 2).all()


def test_values_that_are_no_numbers_do_not_stop_the_run():
    labels = semantic_labels(np.full((3, 4, 4), np.nan, np.float32), 4, Placement.whole_input(16, 16))
    assert labels.shape == (16, 16) and (labels < 3).all()
