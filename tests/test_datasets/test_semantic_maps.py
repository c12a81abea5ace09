import json
from collections import defaultdict

import cv2
import numpy as np
import pycocotools.mask as mask_utils
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.datasets.semantic_maps import paint, render_semantic_map, to_rle

from . import tiny_coco as tiny

SQUARE = [4.0, 4.0, 12.0, 4.0, 12.0, 12.0, 4.0, 12.0]


def stuff_records(semantic: np.ndarray, is_stuff: np.ndarray, compressed: bool = True) -> list[dict]:
    """The stuff of a published map as records of the stuff JSON."""
    values = [value for value in np.unique(semantic).tolist() if is_stuff[value]]
    return [{'category_id': v + 1, 'segmentation': tiny.rle_of(semantic == v, compressed)} for v in values]


def test_later_things_lie_over_earlier_ones_and_over_stuff():
    stuff = [{'category_id': tiny.SKY, 'segmentation': [[0.0, 0.0, 20.0, 0.0, 20.0, 20.0, 0.0, 20.0]]}]
    first = {'category_id': tiny.PERSON, 'segmentation': [SQUARE]}
    second = {'category_id': tiny.DOG, 'segmentation': [[v + 4 for v in SQUARE]]}
    rendered = render_semantic_map([first, second], stuff, 24, 30)
    expected = np.full((24, 30), 255, np.uint8)
    expected[:20, :20] = tiny.SKY - 1
    expected[4:12, 4:12] = tiny.PERSON - 1
    expected[8:16, 8:16] = tiny.DOG - 1
    assert rendered.dtype == np.uint8 and rendered.flags['C_CONTIGUOUS']
    assert (rendered == expected).all()
    assert (render_semantic_map([second, first], stuff, 24, 30)[8:12, 8:12] == tiny.PERSON - 1).all()


def test_crowds_and_other_leave_no_trace():
    whole = tiny.rle_of(np.ones((24, 30)), compressed=True)
    crowd = {'category_id': tiny.PERSON, 'segmentation': whole, 'iscrowd': 1}
    other = {'category_id': 183, 'segmentation': whole}
    assert (render_semantic_map([crowd], [other], 24, 30) == 255).all()


def test_objects_without_a_mask_paint_nothing():
    things = [{'category_id': 1, 'segmentation': s} for s in ([], None, [[1.0, 2.0, 3.0, 4.0]])]
    assert (render_semantic_map([*things, {'category_id': 2}], [], 8, 8) == 255).all()


@pytest.mark.parametrize(
    ('record', 'message'),
    [
        ({'category_id': 255, 'segmentation': [SQUARE]}, 'annotation 7: category id 255 is outside'),
        ({'category_id': 1, 'segmentation': 'SQUARE'}, 'annotation 7 of image 3: segmentation is a str'),
        ({'category_id': 1, 'segmentation': {'size': [8, 9], 'counts': [72]}}, r'RLE mask is of size \[8, 9\]'),
    ],
)
def test_bad_records_are_named(record, message):
    with pytest.raises(ValueError, match=message):
        render_semantic_map([{'id': 7, 'image_id': 3, **record}], [], 20, 20)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), height=st.integers(1, 20), width=st.integers(1, 20), compressed=st.booleans())
def test_any_mask_is_painted_where_it_is(data, height, width, compressed):
    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    mask = np.array(bits).reshape(height, width)
    canvas = np.full((height, width), 3, np.uint8, order='F')
    paint(canvas, tiny.rle_of(mask, compressed), 9)
    assert (canvas == np.where(mask, 9, 3)).all()
    again = mask_utils.decode(to_rle(tiny.rle_of(mask, compressed), height, width))
    assert (again == mask).all()


@pytest.mark.parametrize('compressed', [True, False])
def test_maps_of_the_tiny_set_are_rebuilt(tiny_root, compressed):
    """Its crowd is painted in the map, which COCO's never are: it counts as a thing here."""
    content = tiny.read(tiny_root, 'instances_train2017')
    is_stuff = np.isin(np.arange(256), [tiny.GRASS - 1, tiny.SKY - 1])
    rebuilt = 0
    for image in content['images']:
        things = [{**a, 'iscrowd': 0} for a in content['annotations'] if a['image_id'] == image['id']]
        path = tiny_root / 'stuffthingmaps/train2017' / image['file_name'].replace('.jpg', '.png')
        if not path.is_file():
            continue
        published = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        rendered = render_semantic_map(things, stuff_records(published, is_stuff, compressed), *published.shape)
        assert (rendered == published).all(), image
        rebuilt += 1
    assert rebuilt == 5


@pytest.mark.parametrize(('split', 'exact'), [('train2017', 70), ('val2017', 34)])
def test_published_maps_are_rebuilt(shared_dir, split, exact):
    """Every image of mini_coco whose masks and map are the official ones; none may differ in a pixel."""
    root = shared_dir / 'mini_coco'
    sources = json.loads((root / 'annotations/sources.json').read_text())
    content = json.loads((root / f'annotations/instances_{split}.json').read_text())
    things = defaultdict(list)
    for ann in content['annotations']:
        things[ann['image_id']].append(ann)
    is_stuff = (np.arange(256) >= 91) & (np.arange(256) < 182)
    checked, crowds = 0, 0
    for image in content['images']:
        source = sources[str(image['id'])]
        if source.get('semantic_map') != 'exact' or source['instances'] != 'official':
            continue
        path = root / 'stuffthingmaps' / split / image['file_name'].replace('.jpg', '.png')
        published = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        rendered = render_semantic_map(things[image['id']], stuff_records(published, is_stuff), *published.shape)
        assert (rendered == published).all(), image['id']
        checked += 1
        crowds += any(ann['iscrowd'] for ann in things[image['id']])
    assert checked == exact and crowds >= 2
