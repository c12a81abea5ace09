import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.datasets.transforms import MTLCopyPaste, MTLMosaic

from .. import tiny_coco as tiny
from .helpers import check_invariants, load, masks_of


@pytest.fixture(scope='module')
def dataset(tiny_root):
    return COCOMultiTaskDataset(**tiny.config(tiny_root))


def one_sided(dataset):
    """The plain picture with its left object alone: its mirrored place on the right is free."""
    results = load(dataset, tiny.PLAIN)
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
        results[key] = results[key][:1]
    results['gt_masks'] = results['gt_masks'][[0]]
    return results


def test_copy_is_the_mirrored_object(dataset):
    before = one_sided(dataset)
    after = MTLCopyPaste(1.0)(copy.deepcopy(before))
    width = before['img'].shape[1]
    x1, y1, x2, y2 = before['gt_bboxes'][0]
    assert np.allclose(after['gt_bboxes'], [[x1, y1, x2, y2], [width - x2, y1, width - x1, y2]])
    assert after['gt_bboxes_labels'].tolist() == before['gt_bboxes_labels'].tolist() * 2
    first, second = masks_of(after)
    assert (second == first[:, ::-1]).all()
    assert (after['img'][second > 0] == before['img'][:, ::-1][second > 0]).all()
    assert (after['img'][second == 0] == before['img'][second == 0]).all()
    assert (after['gt_seg_map'][0] == before['gt_seg_map']).all()
    label = before['gt_bboxes_labels'][0]
    assert (after['gt_seg_map'][1] == np.where(second > 0, label, 255)).all()
    check_invariants(after, edge=1)


def test_nothing_is_copied_onto_other_objects(dataset):
    both = load(dataset, tiny.PLAIN)  # a person on the left, a car on the right: each other's mirrored place
    boxes = both['gt_bboxes'].copy()
    assert len(MTLCopyPaste(1.0)(copy.deepcopy(both))['gt_bboxes']) == len(boxes)
    loose = MTLCopyPaste(1.0, max_hidden=1.0)(copy.deepcopy(both))
    assert len(loose['gt_bboxes']) == 2 * len(boxes)


def test_crowds_are_not_copied(dataset):
    results = one_sided(dataset)
    results['gt_ignore_flags'][:] = True
    assert len(MTLCopyPaste(1.0)(results)['gt_bboxes']) == 1


def test_part_of_the_candidates(dataset):
    results = one_sided(dataset)
    shape = results['img'].shape[:2]
    columns = np.arange(10) * 4.0  # all in the left half, far apart from their mirrored places
    results['gt_bboxes'] = np.stack([columns, columns, columns + 2, columns + 2], 1).astype(np.float32)
    results['gt_bboxes_labels'] = np.arange(10)
    results['gt_ignore_flags'] = np.zeros(10, bool)
    rings = [[np.array([x, x, x + 2, x, x + 2, x + 2, x, x + 2])] for x in columns]
    results['gt_masks'] = type(results['gt_masks'])(rings, *shape)
    np.random.seed(0)
    after = MTLCopyPaste(0.3)(copy.deepcopy(results))
    assert len(after['gt_bboxes']) == 13 and len(set(after['gt_bboxes_labels'][10:].tolist())) == 3
    assert len(MTLCopyPaste(0.0)(copy.deepcopy(results))['gt_bboxes']) == 10


@pytest.mark.parametrize('img_id', [tiny.NO_MASK, tiny.EMPTY, tiny.CAPTION_ONLY])
def test_images_without_masks_are_left_alone(dataset, img_id):
    before = load(dataset, img_id)
    after = MTLCopyPaste(1.0)(copy.deepcopy(before))
    assert (after['img'] == before['img']).all() and set(after) == set(before)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), defer=st.booleans())
def test_copies_on_a_mosaic_keep_everything_together(dataset, seed, defer):
    np.random.seed(seed)
    results = load(dataset, tiny.PARTS, MTLMosaic((64, 80), defer=defer))
    before = len(results['gt_bboxes'])
    results = MTLCopyPaste(1.0, max_hidden=0.5)(results)
    if defer:
        results['img'].draw(np.eye(3), (160, 128))
        assert len(results['img'].pastes) == len(results['gt_bboxes']) - before
        assert len(results['img'].owners) == len(results['gt_bboxes'])
        return
    slivers = (results['gt_bboxes'][:, 2:] - results['gt_bboxes'][:, :2]).min(1, initial=9) < 1
    if not slivers.any():
        check_invariants(results, edge=3)


@pytest.mark.parametrize('wrong', [{'prob': -0.1}, {'prob': 2}, {'max_hidden': 2}])
def test_arguments_are_checked(wrong):
    with pytest.raises(ValueError, match='must be in'):
        MTLCopyPaste(**wrong)
