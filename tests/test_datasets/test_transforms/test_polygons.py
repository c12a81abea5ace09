import numpy as np
import pycocotools.mask as mask_utils
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mmdet.structures.mask import PolygonMasks

from mmyolor_mtl.datasets.transforms.polygons import FlatPolygons, ring_areas, rle_to_polygons

from ..tiny_coco import rle_of


def flat(*rings):
    return FlatPolygons.from_masks(
        PolygonMasks([[np.asarray(ring, dtype=np.float64).reshape(-1) for ring in rings]], 1, 1)
    )


@settings(max_examples=150, deadline=None)
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.integers(0, 1)), st.booleans())
def test_rle_becomes_polygons_of_the_very_same_pixels(mask, compressed):
    height, width = mask.shape
    rings = rle_to_polygons(rle_of(mask, compressed), height, width)
    if not mask.any():
        assert rings == []
        return
    masks = PolygonMasks([rings], height, width)
    assert (masks.to_bitmap().masks[0] == mask).all()  # with MMDetection's own rasteriser
    assert (FlatPolygons.from_masks(masks).rasterize(height, width)[0] == mask).all()


def test_nested_holes_and_islands():
    mask = np.zeros((60, 60), np.uint8)
    for inset in range(0, 30, 5):
        mask[inset : 60 - inset, inset : 60 - inset] = 1 - (inset // 5) % 2
    mask[7, 20:25] = 1  # a second hole's neighbour, touching corners
    rings = rle_to_polygons(rle_of(mask, True), 60, 60)
    assert (PolygonMasks([rings], 60, 60).to_bitmap().masks[0] == mask).all()


def test_rle_of_another_size():
    with pytest.raises(ValueError, match=r'size \[5, 6\].*\[6, 5\]'):
        rle_to_polygons(rle_of(np.ones((5, 6)), False), 6, 5)


def test_round_trip_keeps_order_and_parts():
    rings = [[np.array([0, 0, 4, 0, 4, 4.0])], [np.array([1, 1, 2, 1, 2, 2, 1, 2.0]), np.array([5, 5, 9, 5, 9, 9.0])]]
    masks = FlatPolygons.from_masks(PolygonMasks(rings, 10, 10)).to_masks(10, 10)
    assert [len(instance) for instance in masks.masks] == [1, 2]
    assert all((a == b).all() for x, y in zip(rings, masks.masks, strict=True) for a, b in zip(x, y, strict=True))
    assert len(FlatPolygons.from_masks(PolygonMasks([], 10, 10)).to_masks(10, 10)) == 0


def test_select_renumbers():
    rings = [[np.array([0, 0, 4, 0, 4, 4.0]) + i] for i in range(4)]
    kept = FlatPolygons.from_masks(PolygonMasks(rings, 10, 10)).select(np.array([False, True, False, True]))
    assert kept.num == 2 and kept.to_masks(10, 10).masks[1][0][0] == 3


def test_clip_cuts_rather_than_clamps():
    # A triangle whose tip leaves on the right: clamping would bend its sides.
    clipped, boxes = flat([(0, 0), (20, 10), (0, 20)]).clip(10, 20)
    assert np.allclose(boxes, [[0, 0, 10, 20]])
    assert np.allclose(ring_areas(clipped.points, clipped.lengths), 200 - 50)
    assert {(10.0, 5.0), (10.0, 15.0)} <= {tuple(point) for point in clipped.points.tolist()}


def test_clip_around_and_away():
    clipped, boxes = flat([(-5, -5), (30, -5), (30, 30), (-5, 30)]).clip(10, 8)
    assert np.allclose(boxes, [[0, 0, 10, 8]]) and np.allclose(ring_areas(clipped.points, clipped.lengths), 80)
    gone, boxes = flat([(11, 0), (15, 0), (15, 5)]).clip(10, 8)
    assert len(gone.lengths) == 0 and (boxes == 0).all()
    touching, boxes = flat([(10, 0), (15, 0), (15, 5), (10, 5)]).clip(10, 8)
    assert len(touching.lengths) == 0 and (boxes == 0).all()


def test_box_ignores_edges_along_the_border():
    # A horseshoe below the picture: only its two tips are visible, at the left and at the right.
    shoe = [(-2, 2), (1, 2), (1, 4), (-1, 4), (-1, 20), (12, 20), (12, 4), (9, 4), (9, 2), (14, 2), (14, 25), (-2, 25)]
    clipped, boxes = flat(shoe).clip(10, 10)
    assert np.allclose(boxes, [[0, 2, 10, 4]])
    mask = clipped.rasterize(10, 10)[0]
    assert mask.sum() == 4 and mask[2:4, 0].all() and mask[2:4, 9].all()


def test_spike_around_a_corner_is_removed():
    # Leaves on the right, turns around the corner outside and comes back the same way.
    ring = [(5, 1), (12, 1), (12, 15), (3, 15), (3, 13), (11, 13), (11, 3), (5, 3)]
    clipped, boxes = flat(ring).clip(10, 10)
    assert np.allclose(boxes, [[5, 1, 10, 3]])
    assert np.allclose(clipped.points.max(0), [10, 3])


def test_keyhole_survives_clipping():
    mask = np.ones((20, 20), np.uint8)
    mask[5:15, 5:15] = 0
    whole = FlatPolygons.from_masks(PolygonMasks([rle_to_polygons(rle_of(mask, True), 20, 20)], 20, 20))
    clipped, boxes = whole.affine(np.array([[1.0, 0, -7], [0, 1, -2]])).clip(20, 20)
    assert (clipped.rasterize(20, 20)[0, :18, :13] == mask[2:, 7:]).all()
    assert np.abs(boxes - [[0, 0, 13, 18]]).max() <= 0.25


STAR = st.integers(0, 2**32 - 1)


@settings(max_examples=100, deadline=None)
@given(STAR)
def test_clipping_equals_cropping_the_drawn_polygon(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 12))
    angles, radii = np.sort(rng.uniform(0, 2 * np.pi, count)), rng.uniform(5, 60, count)
    points = rng.uniform(-10, 50, 2) + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
    scale = 8  # fine enough for pycocotools' rounding not to matter
    shift = np.array([[scale, 0, 80 * scale], [0, scale, 80 * scale]], dtype=np.float64)
    whole = flat(points).affine(shift).rasterize(200 * scale, 200 * scale)[0]
    whole = whole[80 * scale : 112 * scale, 80 * scale : 120 * scale]
    clipped, boxes = flat(points).clip(40, 32)
    drawn = clipped.affine(np.diag([scale, scale, 1.0])).rasterize(32 * scale, 40 * scale)[0]
    assert (whole != drawn).sum() <= 0.01 * whole.size
    if len(clipped.lengths):
        assert (clipped.points >= 0).all() and (clipped.points <= (40, 32)).all()
    ys, xs = np.nonzero(whole)
    if len(xs) > 100:
        tight = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / scale
        assert (boxes[0, :2] <= tight[:2] + 0.3).all() and (boxes[0, 2:] >= tight[2:] - 0.3).all()


def test_rasterize_samples_cell_centres_as_coco_does():
    rings = [[np.array([8, 8, 24, 8, 24, 30, 8, 30.0])], [np.array([0, 0, 2, 0, 2, 2, 0, 2.0])]]
    polygons = FlatPolygons.from_masks(PolygonMasks(rings, 32, 32))
    masks = polygons.rasterize(32, 32, stride=4)
    assert masks.shape == (2, 8, 8) and masks.dtype == np.uint8
    expected = np.zeros((8, 8), np.uint8)
    expected[2:7, 2:6] = 1  # the last row's centre lies on the edge and counts
    reference = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects([rings[0][0] / 4], 8, 8)))
    assert (masks[0] == reference).all() and np.abs(masks[0].astype(int) - expected).sum() <= 4


def test_thin_instance_keeps_one_cell():
    rings = [[np.array([17.0, 5, 17.5, 5, 17.5, 6, 17, 6])], [np.array([31.9, 31.9, 32, 31.9, 32, 32])]]
    masks = FlatPolygons.from_masks(PolygonMasks(rings, 32, 32)).rasterize(32, 32, stride=4)
    assert masks.sum((1, 2)).tolist() == [1, 1]
    assert masks[0, 1, 4] == 1 and masks[1, 7, 7] == 1
    assert FlatPolygons.from_masks(PolygonMasks([], 32, 32)).rasterize(32, 32, 4).shape == (0, 8, 8)
