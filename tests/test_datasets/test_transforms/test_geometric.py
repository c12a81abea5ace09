import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import Compose

from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.datasets.transforms import Letterbox, MTLRandomAffine, MTLRandomFlip
from mmyolor_mtl.datasets.transforms.labels import warp_pixels
from mmyolor_mtl.utils.letterbox import fitted_size, split_padding

from .. import tiny_coco as tiny
from .helpers import check_invariants, load, masks_of

LABELLED = (tiny.PLAIN, tiny.PARTS, tiny.EMPTY, tiny.NO_MAP, tiny.NO_MASK)


@pytest.fixture(scope='module')
def dataset(tiny_root):
    return COCOMultiTaskDataset(**tiny.config(tiny_root))


def assert_same(one, other, atol=1e-4):
    assert (one['img'] == other['img']).all()
    assert np.allclose(one['gt_bboxes'], other['gt_bboxes'], atol=atol)
    if 'gt_seg_map' in one:
        assert (one['gt_seg_map'] == other['gt_seg_map']).all()
    if 'gt_masks' in one:
        assert (masks_of(one) == masks_of(other)).all()


# ---------------------------------------------------------------- letterbox


@pytest.mark.parametrize('img_id', LABELLED)
@pytest.mark.parametrize('scale', [(64, 64), (160, 96), (200, 200)])
def test_letterbox_moves_everything(dataset, img_id, scale):
    results = load(dataset, img_id, Letterbox(scale))
    assert results['img_shape'] == scale[::-1]
    check_invariants(results, edge=3)
    h, w = tiny.SIZES[img_id]
    top, bottom, left, right = results['pad_param']
    inner_w, inner_h = scale[0] - left - right, scale[1] - top - bottom
    assert results['scale_factor'] == (inner_w / w, inner_h / h)
    assert inner_w == scale[0] or inner_h == scale[1]
    assert 0 <= bottom - top <= 1 and 0 <= right - left <= 1
    assert (results['img'][:top] == 114).all() and (results['img'][:, :left] == 114).all()
    if 'gt_seg_map' in results:
        assert (results['gt_seg_map'][:top] == 255).all()


def test_letterbox_can_leave_small_pictures(dataset):
    results = load(dataset, tiny.EMPTY, Letterbox((128, 96), allow_scale_up=False))
    assert results['scale_factor'] == (1.0, 1.0) and results['pad_param'] == (16, 16, 32, 32)


def test_evaluation_averages_when_shrinking(dataset):
    stripes = np.zeros((90, 90, 3), np.uint8)
    stripes[:, ::3] = 255
    averaged = Letterbox((30, 30))({'img': stripes})['img']
    assert np.abs(averaged.astype(int) - 85).max() <= 1
    assert (Letterbox((30, 30), area_shrink=False)({'img': stripes})['img'] != averaged).any()


@given(st.integers(1, 900), st.integers(1, 900), st.integers(16, 700), st.integers(16, 700))
def test_fitted_size_fills_the_frame(h, w, frame_w, frame_h):
    new_h, new_w = fitted_size((h, w), (frame_w, frame_h))
    assert 1 <= new_h <= frame_h and 1 <= new_w <= frame_w
    assert new_h == frame_h or new_w == frame_w
    top, bottom, left, right = split_padding((new_h, new_w), (frame_w, frame_h))
    assert top + bottom + new_h == frame_h and left + right + new_w == frame_w and min(top, left) >= 0


# ---------------------------------------------------------------- affine


@pytest.mark.parametrize('img_id', LABELLED)
def test_affine_without_change_is_identity(dataset, img_id):
    h, w = tiny.SIZES[img_id]
    before = load(dataset, img_id)
    if 'gt_masks' not in before or img_id == tiny.PARTS:  # boxes from the file are those of the mask's pixels there
        before['gt_bboxes'] = before['gt_bboxes'].astype(np.float32)
    after = MTLRandomAffine((w, h), scaling_ratio_range=(1, 1), max_translate_ratio=0)(copy.deepcopy(before))
    assert_same(before, after, atol=0.26)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), img_id=st.sampled_from(LABELLED), turned=st.booleans())
def test_affine_keeps_everything_together(dataset, seed, img_id, turned):
    np.random.seed(seed)
    affine = MTLRandomAffine((80, 64), max_rotate_degree=30 * turned, max_shear_degree=10 * turned)
    results = load(dataset, img_id, affine)
    assert results['img'].shape == (64, 80, 3)
    check_invariants(results, edge=3)


def test_affine_draws_scale_and_shift_from_their_ranges():
    affine = MTLRandomAffine((100, 50), scaling_ratio_range=(0.5, 1.5), max_translate_ratio=0.2)
    matrices = np.stack([affine.random_matrix((80, 60)) for _ in range(300)])
    scale = matrices[:, 0, 0]
    assert 0.5 <= scale.min() < 0.55 and 1.45 < scale.max() <= 1.5
    centre = matrices @ np.array([30, 40, 1.0])  # the middle of the input
    assert (np.abs(centre[:, :2] - (50, 25)) <= (20, 10)).all() and np.ptp(centre[:, 0]) > 30
    assert np.allclose(matrices[:, 0, 1], 0) and np.allclose(matrices[:, 1, 0], 0)


def test_affine_drops_what_is_hardly_left(dataset):
    results = load(dataset, tiny.NO_MASK)
    results['gt_bboxes'] = np.array([[10, 10, 40, 40], [0, 0, 1.5, 30], [20, 30, 70, 30.4]], np.float32)
    results['gt_bboxes_labels'] = np.arange(3)
    results['gt_ignore_flags'] = np.zeros(3, bool)
    kept = MTLRandomAffine((90, 60), (1, 1), 0)(copy.deepcopy(results))
    assert kept['gt_bboxes_labels'].tolist() == [0]
    loose = MTLRandomAffine((90, 60), (1, 1), 0, min_side=0, max_aspect=1000)(copy.deepcopy(results))
    assert loose['gt_bboxes_labels'].tolist() == [0, 1, 2]
    # The output shows the middle third: 1 of 30 columns of the first box is left.
    third = MTLRandomAffine((12, 60), (1, 1), 0, min_side=0, min_area_ratio=0.05)
    assert third(copy.deepcopy(results))['gt_bboxes_labels'].tolist() == [2]


@pytest.mark.parametrize(
    'wrong',
    [
        {'scaling_ratio_range': (0, 1)},
        {'scaling_ratio_range': (2, 1)},
        {'max_translate_ratio': 2},
        {'max_shear_degree': 90},
    ],
)
def test_affine_checks_its_ranges(wrong):
    with pytest.raises(ValueError):
        MTLRandomAffine((64, 64), **wrong)


def test_pixels_and_points_move_alike():
    # A disc drawn around a point must stay around the mapped point, at any scale.
    yy, xx = np.mgrid[:100, :120] + 0.5
    disc = np.where((xx - 70) ** 2 + (yy - 40) ** 2 < 400, 200, 0).astype(np.uint8)
    for scale in (0.2, 0.5, 1.0, 1.7):
        matrix = np.array([[scale, 0, 3.3], [0, scale, -2.2], [0, 0, 1]])
        for nearest in (False, True):
            out = warp_pixels(disc, matrix, (170, 220), 0, nearest) > 100
            ys, xs = np.nonzero(out)
            middle = np.array([xs.mean() + 0.5, ys.mean() + 0.5])
            assert np.abs(middle - (matrix @ [70, 40, 1])[:2]).max() < 0.3


# ---------------------------------------------------------------- flip


@pytest.mark.parametrize('direction', ['horizontal', 'vertical'])
@pytest.mark.parametrize('img_id', LABELLED)
def test_flip_twice_is_identity(dataset, img_id, direction):
    flip = MTLRandomFlip(prob=1.0, direction=direction)
    before = load(dataset, img_id)
    once = flip(copy.deepcopy(before))
    assert once['flip'] is True and once['flip_direction'] == direction
    assert (once['img'] == (before['img'][:, ::-1] if direction == 'horizontal' else before['img'][::-1])).all()
    check_invariants(once)
    twice = flip(once)
    assert twice['flip'] is False and twice['flip_direction'] is None
    assert_same(before, twice)


def test_both_flips_are_half_a_turn(dataset):
    before = load(dataset, tiny.PARTS)
    after = MTLRandomFlip(1.0, 'vertical')(MTLRandomFlip(1.0)(copy.deepcopy(before)))
    assert after['flip_direction'] == 'diagonal' and (after['img'] == before['img'][::-1, ::-1]).all()
    check_invariants(after)
    assert MTLRandomFlip(0.0, 'vertical')(after)['flip_direction'] == 'diagonal'
    with pytest.raises(ValueError, match="direction='up'"):
        MTLRandomFlip(direction='up')


def test_flip_probability(dataset):
    assert MTLRandomFlip(prob=0.0)(load(dataset, tiny.PLAIN))['flip'] is False
    with pytest.raises(ValueError, match='prob=2'):
        MTLRandomFlip(prob=2)


def test_labels_in_original_space_are_refused(dataset):
    pipeline = Compose(tiny.TEST_PIPELINE[:3])
    for transform in (MTLRandomFlip(), MTLRandomAffine((64, 64))):
        with pytest.raises(ValueError, match='LoadMTLAnnotations before Letterbox'):
            transform(dataset.load_for_mix(0, pipeline))
