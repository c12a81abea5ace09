import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from mmyolor_mtl.structures import decode_rle, encode_mask, encode_window


def official(mask):
    rle = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': list(mask.shape), 'counts': rle['counts'].decode()}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.booleans())
def test_equals_pycocotools_and_reads_back(seed, height, width, share, blocky):
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < share
    if blocky:  # long runs, and runs that go on in the next column
        mask = np.kron(mask, np.ones((rng.integers(1, 60), rng.integers(1, 9)))).astype(bool)
    assert encode_mask(mask) == official(mask)
    assert np.array_equal(decode_rle(official(mask)), mask)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30))
def test_a_window_is_the_mask_that_is_empty_around_it(seed, height, width):
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, height), rng.integers(0, width)
    bottom, right = rng.integers(top, height) + 1, rng.integers(left, width) + 1
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = rng.random((bottom - top, right - left)) < 0.7
    assert encode_window(mask[top:bottom, left:right], (left, top), mask.shape) == official(mask)


@pytest.mark.parametrize('shape', [(3000, 4000), (1, 100000), (100000, 1)])
@pytest.mark.parametrize('fill', [0, 1])
def test_large_pictures_of_one_value(shape, fill):
    mask = np.full(shape, fill, bool)
    assert encode_mask(mask) == official(mask)
    assert np.array_equal(decode_rle(encode_mask(mask)), mask)


def test_uncompressed_counts_and_bytes_are_read():
    assert decode_rle({'size': [2, 3], 'counts': [1, 2, 3]}).tolist() == [[0, 1, 0], [1, 0, 0]]
    mask = np.eye(5, dtype=bool)
    rle = encode_mask(mask)
    assert np.array_equal(decode_rle({**rle, 'counts': rle['counts'].encode()}), mask)


def test_what_is_wrong_is_named():
    with pytest.raises(ValueError, match='add up to 5, not to the 2 x 3 pixels'):
        decode_rle({'size': [2, 3], 'counts': [1, 4]})
    with pytest.raises(ValueError, match='cut off'):
        decode_rle({'size': [2, 3], 'counts': ''})
    with pytest.raises(ValueError, match='does not lie in a picture'):
        encode_window(np.ones((2, 2)), (2, 0), (3, 3))


def test_structures_need_no_torch():
    code = "import sys, mmyolor_mtl.structures; assert not {'torch', 'mmcv', 'mmdet', 'cv2'} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True)
