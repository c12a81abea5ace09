import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.evaluation import INSTANCE_OFFSET

from mmyolor_mtl.postprocess import OVERLAP_RULE, InstanceMasks, Placement, fuse_panoptic
from mmyolor_mtl.postprocess.masks import Window
from mmyolor_mtl.structures import encode_mask

SIZES = dict(num_things=2, num_evaluated=5)


def instances(masks, scores, labels):
    return np.stack(masks), np.array(scores), np.array(labels)


def square(y1, y2, x1, x2):
    mask = np.zeros((8, 8), dtype=bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_better_instance_is_on_top_and_weak_ones_are_left_out():
    found = instances([square(0, 4, 0, 4), square(2, 6, 2, 6), square(6, 8, 6, 8)], [0.5, 0.9, 0.1], [0, 1, 1])
    sem = np.full((8, 8), 3)
    sem[7, 7] = 1  # a thing pixel of the semantic map without an instance
    sem[0, 7] = 6  # a class that is never evaluated
    panoptic = fuse_panoptic(*found, sem, **SIZES)
    assert (panoptic[2:6, 2:6] == 1 + INSTANCE_OFFSET).all()
    assert (panoptic[:2, :4] == 0 + 2 * INSTANCE_OFFSET).all() and panoptic[3, 0] == 2 * INSTANCE_OFFSET
    assert panoptic[7, 7] == 5 and panoptic[0, 7] == 5 and panoptic[6, 6] == 3


def test_usual_rule_drops_hidden_instances_and_small_stuff():
    found = instances([square(0, 4, 0, 4), square(0, 4, 0, 6)], [0.9, 0.8], [0, 1])
    sem = np.full((8, 8), 2)
    sem[7, :3] = 4
    panoptic = fuse_panoptic(*found, sem, **SIZES, min_visible=0.5, min_stuff_area=4)
    assert (panoptic[:4, 4:6] == 2).all()  # a third of the second instance is visible: dropped, stuff shows
    assert (panoptic[7, :3] == 5).all()
    assert (fuse_panoptic(*found, sem, **SIZES)[:4, 4:6] == 1 + 2 * INSTANCE_OFFSET).all()


def test_the_usual_rule_as_a_whole():
    found = instances([square(0, 4, 0, 4), square(4, 8, 4, 8)], [0.45, 0.9], [0, 1])
    panoptic = fuse_panoptic(*found, np.full((8, 8), 2), **SIZES, **OVERLAP_RULE)
    # A score below 0.5, and fewer than 4,096 pixels of stuff.
    assert (panoptic[:4, :4] == 5).all() and (panoptic[4:, 4:] == 1 + INSTANCE_OFFSET).all() and panoptic[0, 7] == 5


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 6), st.sampled_from([0.0, 0.4]), st.sampled_from([0, 5]))
def test_every_pixel_has_exactly_one_valid_segment_whatever_form_the_masks_have(seed, number, visible, area):
    rng = np.random.default_rng(seed)
    masks = rng.random((number, 8, 8)) > 0.6
    scores, labels, sem = rng.random(number), rng.integers(0, 2, number), rng.integers(0, 7, (8, 8))
    rule = dict(SIZES, min_visible=visible, min_stuff_area=area)
    panoptic = fuse_panoptic(masks, scores, labels, sem, **rule)
    classes, numbers = panoptic % INSTANCE_OFFSET, panoptic // INSTANCE_OFFSET
    assert ((classes < 2) == (numbers > 0)).all() and (classes <= 5).all()
    stuff, counts = np.unique(panoptic[(classes >= 2) & (classes < 5)], return_counts=True)
    assert (counts >= area).all() and panoptic.dtype == np.int64
    rles = [encode_mask(mask) for mask in masks]
    windows = InstanceMasks([Window(mask, (0, 0)) for mask in masks], Placement.whole_input(8, 8))
    for other in (rles, windows):
        assert np.array_equal(panoptic, fuse_panoptic(other, scores, labels, sem, **rule))


def test_what_does_not_fit_is_refused():
    masks, scores, labels = instances([square(0, 4, 0, 4)], [0.9], [0])
    with pytest.raises(ValueError, match='1 masks, 1 scores and 2 labels'):
        fuse_panoptic(masks, scores, [0, 1], np.zeros((8, 8), int), **SIZES)
    with pytest.raises(ValueError, match=r'masks of \(8, 8\) do not fit a semantic map of \(8, 9\)'):
        fuse_panoptic(masks, scores, labels, np.zeros((8, 9), int), **SIZES)
