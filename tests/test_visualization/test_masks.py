import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmyolor_mtl.structures import encode_mask
from mmyolor_mtl.visualization.masks import Masks, sample


def whole(masks, index, height, width):
    """A window laid into its image."""
    window, (x, y) = masks.window(index, height, width)
    out = np.zeros((height, width), bool)
    part = out[y : y + window.shape[0], x : x + window.shape[1]]
    assert part.shape == window.shape
    part[...] = window
    return out


def random_masks(seed, number, height, width):
    rng = np.random.default_rng(seed)
    masks = np.zeros((number, height, width), bool)
    for mask in masks:
        y, x = rng.integers(0, height), rng.integers(0, width)
        mask[y : y + rng.integers(1, height), x : x + rng.integers(1, width)] = True
    return masks & (rng.random(masks.shape) > 0.1)


FORMS = {
    'array': lambda masks: masks,
    'tensor': torch.from_numpy,
    'bitmaps': lambda masks: BitmapMasks(masks.astype(np.uint8), *masks.shape[1:]),
    'run lengths': lambda masks: [encode_mask(mask) for mask in masks],
}


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_all_forms_give_the_same_at_any_size(seed, height, width):
    masks = random_masks(seed, 3, 17, 23)
    found = [Masks(form(masks), np.array([2, 0])) for form in FORMS.values()]
    assert {len(one) for one in found} == {2} and {one.shape for one in found} == {(17, 23)}
    for i in range(2):
        first, *others = [whole(one, i, height, width) for one in found]
        assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize('form', FORMS)
def test_at_its_own_size_a_mask_is_itself(form):
    masks = random_masks(5, 4, 20, 30)
    found = Masks(FORMS[form](masks))
    assert all(np.array_equal(whole(found, i, 20, 30), masks[i]) for i in range(4))


def test_enlarged_masks_keep_their_place_and_area():
    mask = np.zeros((1, 12, 16), bool)
    mask[0, 3:9, 5:11] = True
    large = whole(Masks(mask), 0, 120, 160)
    assert abs(large.sum() - 3600) < 60 and large[32:88, 52:108].all()
    assert not large[:29].any() and not large[:, :49].any()
    corner = np.zeros((1, 12, 16), bool)
    corner[0, 9:, 12:] = True
    assert whole(Masks(corner), 0, 120, 160)[119, 159]


@pytest.mark.parametrize('size', [(40, 60), (20, 30), (160, 240)])
def test_polygons_are_filled_at_the_size_asked_for(size):
    triangle, square = np.array([2.0, 2, 28, 2, 2, 18]), np.array([20.0, 10, 30, 10, 30, 20, 20, 20])
    masks = Masks(PolygonMasks([[triangle], [square, np.array([1.0, 1, 2, 2])]], 20, 30))
    scale = size[0] / 20
    assert masks.shape == (20, 30) and len(masks) == 2
    assert whole(masks, 0, *size).sum() / scale**2 == pytest.approx(208, rel=0.2)
    expected = np.zeros(size, bool)
    expected[int(10 * scale) :, int(20 * scale) :] = True
    assert (whole(masks, 1, *size) ^ expected).sum() <= 2 * (size[0] + size[1])


def test_nothing_and_far_away():
    assert Masks(np.zeros((0, 5, 6), bool)).shape is None and Masks([]).shape is None
    assert Masks(np.zeros((1, 5, 6), bool)).window(0, 3, 3)[0].size == 0
    assert Masks(np.zeros((1, 5, 6), bool)).window(0, 50, 60)[0].size == 0
    far = Masks(PolygonMasks([[np.array([900.0, 900, 1e6, 900, 1e6, 1e6])], [np.zeros(2)]], 20, 30))
    assert far.window(0, 20, 30)[0].size == 0 and far.window(1, 20, 30)[0].size == 0


def test_maps_are_sampled_at_pixel_centres():
    ids = np.arange(12).reshape(3, 4)
    assert sample(ids, 3, 4) is ids
    assert np.array_equal(sample(ids, 6, 8), ids.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(sample(ids.repeat(3, 0).repeat(3, 1), 3, 4), ids)
