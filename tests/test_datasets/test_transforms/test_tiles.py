"""Canvases that are drawn through the matrix of the next transform."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.datasets.transforms import (
    HSVJitter,
    Letterbox,
    MTLCopyPaste,
    MTLMosaic,
    MTLRandomAffine,
    MTLRandomFlip,
    PackMTLInputs,
)
from mmyolor_mtl.datasets.transforms.polygons import FlatPolygons
from mmyolor_mtl.datasets.transforms.tiles import Paste, Tile, TiledCanvas

from .. import tiny_coco as tiny
from .helpers import check_invariants, load

GREY = 114
COLOURS = (20, 60, 180, 240)


def shift(x, y, scale=1.0):
    return np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]])


def four_tiles(scale=1.0):
    """A canvas of 80 x 60 px around (35, 25), each tile of one colour and semantic label, some beyond the border."""
    tiles = []
    for position, colour in enumerate(COLOURS):
        size = (round(40 / scale), round(50 / scale))
        left = 35 if position % 2 else 35 - 50
        top = 25 if position >= 2 else 25 - 40
        pixels = np.full((*size, 3), colour, np.uint8)
        semantic = np.full((1, *size), position, np.uint8)
        tiles.append(Tile(pixels, semantic, shift(left, top, scale)))
    return TiledCanvas(60, 80, GREY, tiles, np.zeros(0, np.int64))


@pytest.fixture(scope='module')
def dataset(tiny_root):
    return COCOMultiTaskDataset(**tiny.config(tiny_root))


@pytest.mark.parametrize('scale', [1.0, 0.4, 2.0])
def test_tiles_fill_the_canvas_without_seams(scale):
    pixels, semantic = four_tiles(scale).draw(np.eye(3), (60, 80))
    for position, colour in enumerate(COLOURS):
        rows = slice(25, 60) if position >= 2 else slice(0, 25)
        columns = slice(35, 80) if position % 2 else slice(0, 35)
        assert (pixels[rows, columns] == colour).all()
        assert (semantic[0, rows, columns] == position).all()


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(0.2, 3), x=st.floats(-60, 60), y=st.floats(-60, 60))
def test_what_lies_beyond_the_canvas_is_grey(scale, x, y):
    matrix = shift(x, y, scale)
    pixels, semantic = four_tiles().draw(matrix, (50, 70))
    yy, xx = np.mgrid[:50, :70] + 0.5
    on_canvas_x, on_canvas_y = (xx - x) / scale, (yy - y) / scale
    margin = 0.51 / scale  # where the border runs through a pixel
    inside = (on_canvas_x > margin) & (on_canvas_x < 80 - margin) & (on_canvas_y > margin) & (on_canvas_y < 60 - margin)
    outside = (on_canvas_x < -margin) | (on_canvas_x > 80 + margin) | (on_canvas_y < -margin)
    outside |= on_canvas_y > 60 + margin
    assert (pixels[outside] == GREY).all() and (semantic[0, outside] == 255).all()
    assert np.isin(pixels[inside], COLOURS).all() and (semantic[0, inside] < 4).all()


def test_turned_canvas_is_cut_at_its_border():
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle), 40], [np.sin(angle), np.cos(angle), 5], [0, 0, 1]])
    pixels, semantic = four_tiles().draw(turn, (100, 120))
    yy, xx = np.mgrid[:100, :120] + 0.5
    back = np.linalg.inv(turn)
    u, v = back[0, 0] * xx + back[0, 1] * yy + back[0, 2], back[1, 0] * xx + back[1, 1] * yy + back[1, 2]
    outside = (u < -1) | (u > 81) | (v < -1) | (v > 61)
    assert (pixels[outside] == GREY).all() and (semantic[0, outside] == 255).all()
    deep = (u > 37) & (u < 78) & (v > 27) & (v < 58)
    assert (pixels[deep] == COLOURS[3]).all() and (semantic[0, deep] == 3).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), img_id=st.sampled_from((tiny.PLAIN, tiny.PARTS, tiny.NO_MAP)))
def test_deferred_drawing_shows_what_immediate_drawing_shows(dataset, seed, img_id):
    found = {}
    for defer in (False, True):
        np.random.seed(seed)
        affine = MTLRandomAffine((80, 64), scaling_ratio_range=(0.5, 1.9))
        found[defer] = load(dataset, img_id, MTLMosaic((80, 64), defer=defer), MTLCopyPaste(1.0), affine)
        check_invariants(found[defer], edge=4)
    immediate, deferred = found[False], found[True]
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
        assert (immediate[key] == deferred[key]).all()
    # Drawn twice is blurred twice, and borders move by a fraction of a pixel.
    difference = np.abs(immediate['img'].astype(int) - deferred['img'])
    assert np.median(difference) <= 4 and difference.mean() < 12
    if 'gt_seg_map' in immediate:
        assert (immediate['gt_seg_map'] == deferred['gt_seg_map']).mean() > 0.93


@pytest.mark.parametrize(
    'follower', [HSVJitter(), MTLRandomFlip(1.0), PackMTLInputs(mask_stride=1), Letterbox((40, 40))], ids=repr
)
def test_other_transforms_draw_the_canvas(dataset, follower):
    np.random.seed(3)
    results = load(dataset, tiny.PLAIN, MTLMosaic((40, 40), defer=True))
    assert isinstance(results['img'], TiledCanvas) and results['img'].shape == (80, 80, 3)
    assert 'gt_seg_map' not in results
    results = follower(results)
    pixels = results['inputs'].numpy() if 'inputs' in results else results['img']
    assert isinstance(pixels, np.ndarray) and pixels.size in (3 * 80 * 80, 3 * 40 * 40)


def test_pastes_lie_on_top_and_keep_the_label_below():
    canvas = four_tiles()
    source = Tile(np.full((20, 30, 3), 99, np.uint8), None, shift(20, 10))
    square = np.array([[22.0, 12], [42, 12], [42, 28], [22, 28]])
    outline = FlatPolygons(square, np.array([4]), np.array([0]), 1)
    hidden = FlatPolygons(square + 500, np.array([4]), np.array([0]), 1)
    canvas.pastes += [Paste(source, outline, 7), Paste(source, hidden, 8)]
    pixels, semantic = canvas.draw(np.eye(3), (60, 80))
    assert semantic.shape == (2, 60, 80)
    region = np.zeros((60, 80), bool)
    region[12:28, 22:42] = True
    assert (pixels[region] == 99).all() and np.isin(pixels[~region], COLOURS).all()
    assert (semantic[1][region] == 7).all() and (semantic[1][~region] == 255).all()
    assert (semantic[0] == four_tiles().draw(np.eye(3), (60, 80))[1][0]).all()


def test_a_picture_without_map_leaves_none(dataset):
    results = load(dataset, tiny.NO_MAP, MTLMosaic((40, 40), defer=True))
    shown = MTLRandomAffine((40, 40))(copy.copy(results))
    assert 'gt_seg_map' not in shown and shown['img'].shape == (40, 40, 3)
