import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from mmyolor_mtl.models.losses.mask import inside_boxes
from mmyolor_mtl.postprocess import InstanceMasks, Placement, assemble_masks
from mmyolor_mtl.postprocess.masks import Window

LIMIT = """
import numpy as np
from mmyolor_mtl.postprocess import Placement, assemble_masks, fuse_panoptic
import mmyolor_mtl.models  # what a process that runs a network has loaded
rng = np.random.default_rng(0)
protos = rng.normal(size=(32, 160, 160)).astype(np.float32)
centre, half = rng.uniform(100, 540, (200, 2)), rng.uniform(60, 300, (200, 2))
boxes = np.concatenate([centre - half, centre + half], 1)
masks = assemble_masks(rng.normal(size=(200, 32)), protos, boxes, 4, Placement((4000, 6000), (106, 0), (427, 640)))
rles = masks.to_rle()
sem = np.zeros((4000, 6000), np.uint8)
fuse_panoptic(masks, rng.random(200), np.zeros(200, int), sem, num_things=1, num_evaluated=2)
assert len(rles) == 200 and rles[0]['size'] == [4000, 6000]
from mmyolor_mtl.utils.benchmark import peak_memory
print(peak_memory() / 2**30)
"""


def oracle(coefs, protos, boxes, stride, placement):
    """The words of REFERENCE_SPEC 6.2 with whole maps."""
    soft = (torch.from_numpy(coefs) @ torch.from_numpy(protos).flatten(1)).sigmoid().unflatten(1, protos.shape[1:])
    size = tuple(side * stride for side in protos.shape[1:])
    soft = F.interpolate(soft[None], size, mode='bilinear', align_corners=False)[0]
    masks = ((soft > 0.5) & inside_boxes(torch.from_numpy(boxes), *size)).numpy().astype(np.float32)
    (top, left), (rows, columns), (height, width) = placement.corner, placement.shown, placement.image
    masks = masks[:, top : top + rows, left : left + columns]
    return np.stack([cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR) for mask in masks])


def random_case(seed, image, corner, shown, cells=(12, 16), number=6):
    rng = np.random.default_rng(seed)
    protos = cv2.GaussianBlur(rng.normal(size=(*cells, 8)), (3, 3), 0).transpose(2, 0, 1).astype(np.float32)
    coefs = rng.normal(size=(number, 8)).astype(np.float32) * 3
    corners = rng.uniform(-8, 72, (number, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1).astype(np.float32)
    return coefs, protos, boxes, 4, Placement(image, corner, shown)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 200), st.integers(1, 200), st.integers(0, 12), st.integers(0, 16))
def test_equals_whole_maps_whatever_the_size_of_the_picture(seed, height, width, top, left):
    case = random_case(seed, (height, width), (top, left), (48 - 2 * top, 64 - 2 * left))
    masks = assemble_masks(*case)
    expected = oracle(*case)
    found = masks.to_array()
    assert found.shape == expected.shape and found.dtype == bool
    sure = np.abs(expected - 0.5) > 1e-4  # pixels of exactly one half may go either way
    assert np.array_equal(found[sure], expected[sure] > 0.5)
    rles = masks.to_rle()
    assert all(np.array_equal(mask_utils.decode(rle), mask) for rle, mask in zip(rles, found, strict=True))


def test_equals_whole_maps_exactly_without_a_change_of_size():
    for seed in range(20):
        case = random_case(seed, (40, 64), (4, 0), (40, 64))
        assert np.array_equal(assemble_masks(*case).to_array(), oracle(*case) == 1)


def test_boxes_without_pixels_and_no_boxes():
    coefs, protos, _, stride, placement = random_case(0, (100, 90), (4, 2), (40, 60))
    boxes = np.array(
        [[5, 5, 5, 9], [9, 9, 5, 5], [-9, -9, -1, -1], [90, 90, 99, 99], [3.2, 3.2, 3.9, 3.9], [np.nan] * 4]
    )
    masks = assemble_masks(coefs, protos, boxes.astype(np.float32), stride, placement)
    assert not masks.to_array().any() and len(masks) == 6
    none = assemble_masks(coefs[:0], protos, boxes[:0], stride, placement)
    assert none.to_array().shape == (0, 100, 90) and none.to_rle() == []


def test_a_window_keeps_its_place_when_enlarged():
    mask = np.ones((2, 3), bool)
    masks = InstanceMasks([Window(mask, (4, 6))], Placement((80, 100), (0, 0), (8, 10)))
    rows, columns = np.nonzero(masks.to_array()[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (60, 79, 40, 69)


def test_200_objects_on_24_megapixels_stay_below_1_5_gb(repo_root):
    done = subprocess.run([sys.executable, '-c', LIMIT], check=True, capture_output=True, text=True, cwd=repo_root)
    assert float(done.stdout.split()[-1]) < 1.5


@pytest.mark.parametrize('dtype', [np.float16, np.float64])
def test_other_float_types_are_taken(dtype):
    coefs, protos, boxes, stride, placement = random_case(3, (48, 64), (0, 0), (48, 64))
    masks = assemble_masks(coefs.astype(dtype), protos.astype(dtype), boxes.astype(dtype), stride, placement)
    assert (masks.to_array() != (oracle(coefs, protos, boxes, stride, placement) == 1)).mean() < 0.01
