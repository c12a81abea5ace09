"""Scenes themselves: drawings, textures, light, occlusion."""

import numpy as np
import pytest

from mmyolor_mtl.datasets.shapes import COLOURS, SHAPES_METAINFO, STUFF, THINGS, generate_scene
from mmyolor_mtl.datasets.shapes.sprites import DRAWINGS, draw, extent, transformed
from mmyolor_mtl.datasets.shapes.textures import TEXTURES


def test_metainfo_is_complete():
    things, stuff = len(THINGS), len(STUFF)
    assert things >= 12 and stuff >= 8
    assert len(SHAPES_METAINFO['classes']) == len(SHAPES_METAINFO['palette']) == things
    assert len(SHAPES_METAINFO['stuff_classes']) == len(SHAPES_METAINFO['stuff_palette']) == stuff
    assert SHAPES_METAINFO['thing_ids'] + SHAPES_METAINFO['stuff_ids'] == tuple(range(1, things + stuff + 1))
    colours = [*SHAPES_METAINFO['palette'], *SHAPES_METAINFO['stuff_palette']]
    assert len(set(colours)) == things + stuff
    assert set(DRAWINGS) == set(SHAPES_METAINFO['classes'])
    assert set(TEXTURES) == set(SHAPES_METAINFO['stuff_classes'])


@pytest.mark.parametrize('kind', list(DRAWINGS))
@pytest.mark.parametrize(('size', 'angle'), [(10, 0), (60, 33), (400, -90)])
def test_drawings_have_the_size_asked_for(kind, size, angle):
    parts = transformed(DRAWINGS[kind](np.random.default_rng(0)), angle, mirror=angle > 0, size=size)
    assert 2 * max(extent(parts)) == pytest.approx(size)
    sprite = draw(parts, COLOURS['red'], (300.3, 299.6), (600, 600), light=-2.0)
    rows, cols = np.nonzero(sprite.alpha >= 0.5)
    longest = max(np.ptp(rows), np.ptp(cols)) + 1
    assert size * 0.8 - 1 <= longest <= size * 1.1 + 2
    assert sprite.alpha.min() >= 0 and sprite.alpha.max() == 1
    # Nothing of the drawing is cut off by its own patch.
    frame = np.concatenate([sprite.alpha[0], sprite.alpha[-1], sprite.alpha[:, 0], sprite.alpha[:, -1]])
    assert frame.max() == 0


def test_rings_have_holes_and_leaving_the_canvas_is_fine():
    parts = transformed(DRAWINGS['ring'](np.random.default_rng(0)), 0, mirror=False, size=80)
    sprite = draw(parts, COLOURS['blue'], (50, 50), (100, 100), light=0)
    assert sprite.alpha[50 - sprite.y, 50 - sprite.x] == 0
    half = draw(parts, COLOURS['blue'], (0, 50), (100, 100), light=0)
    assert half.x == 0 and half.window[1].stop <= 100
    assert draw(parts, COLOURS['blue'], (-500, 50), (100, 100), light=0) is None


@pytest.mark.parametrize('name', list(TEXTURES))
@pytest.mark.parametrize('shape', [(20, 90), (150, 64)])
def test_textures_fill_any_canvas_and_vary(name, shape):
    image = TEXTURES[name](*shape, min(shape) / 192, np.random.default_rng(1))
    assert image.shape == (*shape, 3) and image.dtype == np.float32
    assert np.isfinite(image).all() and image.min() > -80 and image.max() < 420
    assert image.std(axis=(0, 1)).min() > 2
    assert not np.array_equal(image, TEXTURES[name](*shape, min(shape) / 192, np.random.default_rng(2)))


def test_scenes_are_reproducible_and_differ():
    scene = generate_scene(3, 'train', 5, 64, 80)
    again = generate_scene(3, 'train', 5, 64, 80)
    assert scene.image.shape == (64, 80, 3) and scene.image.dtype == np.uint8
    assert np.array_equal(scene.image, again.image) and scene.segments == again.segments
    for other in ((4, 'train', 5), (3, 'val', 5), (3, 'train', 6)):
        assert not np.array_equal(scene.image, generate_scene(*other, 64, 80).image)


def test_scenes_vary_in_light_noise_and_occlusion():
    scenes = [generate_scene(0, 'train', index, 96, 96) for index in range(120)]
    counts = [sum(segment.is_thing for segment in scene.segments) for scene in scenes]
    assert min(counts) == 0 and max(counts) >= 6 and 2 <= np.mean(counts) <= 4.5
    assert sum(any(segment.covers for segment in scene.segments) for scene in scenes) >= 8
    brightness = [scene.image.mean() for scene in scenes]
    assert np.ptp(brightness) > 60
    noise = [np.abs(np.diff(scene.image[:6, :6].astype(float), axis=1)).mean() for scene in scenes]
    assert np.quantile(noise, 0.9) > 2 * np.quantile(noise, 0.1)


def test_ground_and_backdrop_are_always_seen():
    names = SHAPES_METAINFO['classes'] + SHAPES_METAINFO['stuff_classes']
    for index in range(60):
        scene = generate_scene(1, 'val', index, 48, 64)
        seen = {names[segment.category_id - 1] for segment in scene.segments}
        assert {scene.ground, scene.backdrop} <= seen
        present = set(np.unique(scene.id_map)) - {0}
        assert present == {segment.index for segment in scene.segments}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((0, 'test', 0, 64, 64), "split must be one of .* got 'test'"),
        ((-1, 'train', 0, 64, 64), 'must not be negative'),
        ((0, 'train', 0, 8, 64), 'height=8: scenes are 32 to 4096'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_scene(*arguments)
