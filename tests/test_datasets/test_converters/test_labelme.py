"""LabelMe's shapes become objects, semantic maps and captions."""

import base64
import os

import cv2
import numpy as np
import pycocotools.mask as mask_utils
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config

from mmyolor_mtl.datasets.converters import ClassList, CocoWriter, convert_labelme
from mmyolor_mtl.datasets.converters.output import mask_object
from mmyolor_mtl.registry import DATASETS

from .helpers import by_class, draw, labelme, read, rectangle, semantic, shape

THINGS, STUFF = ['car', 'dog'], ['road', 'sky']


@pytest.fixture
def source(tmp_path):
    return tmp_path / 'photos'


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'out'


def png(mask):
    return base64.b64encode(cv2.imencode('.png', mask)[1].tobytes()).decode()


def test_all_kinds_of_shapes(source, out):
    mask = np.array([[1, 1, 0], [0, 1, 1]], np.uint8) * 255
    labelme(
        source,
        'a',
        [
            shape('car', [[2, 2], [12, 2], [12, 10], [2, 10]]),
            rectangle('dog', 30, 25, 20, 15),
            shape('car', [[45, 20], [45, 12]], 'circle'),
            shape('dog', [[5, 30], [7, 31]], 'mask', mask=png(mask)),
            shape('car', [[30, 30], [34, 30], [34, 34]], group_id=7),
            shape('car', [[40, 30], [44, 30], [44, 34]], group_id=7),
            shape('dog', [[50, 30], [54, 30], [54, 34]], group_id=7),
            rectangle('car', 50, 2, 58, 6, flags={'iscrowd': True}),
        ],
    )
    counts, findings = convert_labelme(source, out, THINGS)
    assert counts == {'images': 1, 'annotations': 7, 'captions': 0, 'maps': 0} and not findings.found
    found = by_class(read(out / 'annotations/instances.json'), 'a.jpg')
    cars, dogs = found['car'], found['dog']
    assert [car['bbox'] for car in cars] == [[2, 2, 10, 8], [37, 12, 16, 16], [30, 30, 14, 4], [50, 2, 8, 4]]
    assert [car['iscrowd'] for car in cars] == [0, 0, 0, 1]
    assert len(cars[2]['segmentation']) == 2 and cars[0]['area'] == 80
    assert cars[1]['area'] == pytest.approx(np.pi * 64, rel=0.05)
    assert dogs[0]['bbox'] == [20, 15, 10, 10] and dogs[2]['bbox'] == [50, 30, 4, 4]
    assert dogs[1]['area'] == 4 and dogs[1]['bbox'] == [5, 30, 3, 2]
    np.testing.assert_array_equal(mask_utils.decode(dogs[1]['segmentation'])[30:32, 5:8] * 255, mask)
    assert not (out / 'stuffthingmaps').exists()


def test_a_group_of_polygon_and_mask_is_one_mask(source, out):
    part = shape('car', [[20, 5], [21, 5]], 'mask', mask=png(np.full((1, 2), 255, np.uint8)), group_id=1)
    labelme(source, 'a', [shape('car', [[2, 2], [6, 2], [6, 6], [2, 6]], group_id=1), part])
    convert_labelme(source, out, THINGS)
    (car,) = by_class(read(out / 'annotations/instances.json'), 'a.jpg')['car']
    assert car['area'] == 18 and car['bbox'] == [2, 2, 20, 4] and isinstance(car['segmentation'], dict)


def test_stuff_lies_under_things_and_later_stuff_over_earlier(source, out):
    labelme(
        source,
        'a',
        [
            rectangle('car', 10, 5, 20, 15),
            rectangle('sky', 0, 0, 60, 20),
            rectangle('road', 0, 10, 60, 30),
        ],
    )
    convert_labelme(source, out, THINGS, STUFF)
    values = semantic(out / 'stuffthingmaps/a.png')
    assert values.shape == (40, 60)
    # Category id - 1: car 0, dog 1, road 2, sky 3.
    assert values[2, 2] == 3 and values[12, 2] == 2 and values[12, 15] == 0 and values[35, 2] == 255
    assert read(out / 'classes.json')[2] == {'id': 3, 'name': 'road', 'isthing': 0}
    assert [c['name'] for c in read(out / 'annotations/instances.json')['categories']] == THINGS


def test_captions_come_from_the_field_or_the_text_file(source, out):
    labelme(source, 'a', [], captions=['A car. ', '', 'No dog.'])
    labelme(source, 'b', [], captions='One sentence.')
    labelme(source, 'sub/c', [])
    (source / 'sub/c.txt').write_text('First line.\n\nSecond line.\n')
    labelme(source, 'd', [rectangle('car', 1, 1, 9, 9)])
    assert convert_labelme(source, out, THINGS)[0]['captions'] == 5
    content = read(out / 'annotations/captions.json')
    names = {image['id']: image['file_name'] for image in content['images']}
    texts = [(names[a['image_id']], a['caption']) for a in content['annotations']]
    assert texts == [
        ('a.jpg', 'A car.'),
        ('a.jpg', 'No dog.'),
        ('b.jpg', 'One sentence.'),
        ('sub/c.jpg', 'First line.'),
        ('sub/c.jpg', 'Second line.'),
    ]


def test_the_dataset_reads_the_result_with_the_metainfo_as_it_is(source, out):
    labelme(source, 'a', [rectangle('car', 1, 1, 9, 9), rectangle('sky', 0, 0, 60, 20)], captions=['A car.'])
    labelme(source, 'sub/b', [rectangle('dog', 1, 1, 9, 9)])
    convert_labelme(source, out, stuff=STUFF)
    metainfo = Config.fromfile(out / 'metainfo.py').metainfo
    dataset = DATASETS.build(
        dict(
            type='mmyolor_mtl.COCOMultiTaskDataset',
            data_root=str(out),
            ann_file='annotations/instances.json',
            caption_file='annotations/captions.json',
            data_prefix=dict(img='images/', seg='stuffthingmaps/'),
            metainfo=metainfo,
            check='decode',
            pipeline=[],
        )
    )
    assert [dataset.get_data_info(i)['labelled_tasks'] for i in range(2)] == [
        ('det', 'ins', 'sem', 'cap'),
        ('det', 'ins', 'sem'),
    ]
    assert dataset.metainfo['classes'] == ('car', 'dog') and len(dataset.metainfo['palette']) == 2


@pytest.mark.parametrize('mode', ['copy', 'link', 'none'])
def test_images_are_copied_linked_or_left(source, out, mode):
    labelme(source, 'sub/a', [rectangle('car', 1, 1, 9, 9)])
    convert_labelme(source, out, images=mode)
    image = out / 'images/sub/a.jpg'
    assert image.exists() == (mode != 'none') and image.is_symlink() == (mode == 'link')
    if mode != 'none':
        assert image.read_bytes() == (source / 'sub/a.jpg').read_bytes()
    assert read(out / 'annotations/instances.json')['images'][0]['file_name'] == 'sub/a.jpg'


def damage(source):
    """Everything that can be wrong, and one good shape."""
    labelme(
        source,
        'a',
        [
            rectangle('car', 1, 1, 9, 9),
            shape('car', [[1, 1], [2, 2]]),
            shape('dog', [[1, 1]], 'point'),
            rectangle('cat', 1, 1, 9, 9),
            rectangle('dog', 100, 100, 110, 110),
            shape('dog', [[1, 1], [2, 2]], 'mask', mask='???'),
            shape('dog', [['x', 1], [2, 2]], 'rectangle'),
            shape('dog', [[1, 1], [2, 2], [3, 3]], 'circle'),
        ],
        captions={'en': 'no list'},
    )
    labelme(source, 'b', [], imageWidth=61)
    labelme(source, 'c', [])
    (source / 'c.jpg').unlink()
    labelme(source, 'd', [])
    (source / 'd.jpg').write_bytes(b'no image')
    (source / 'e.json').write_text('{"shapes": [')
    (source / 'f.json').write_text('{"version": 1}')
    labelme(source, 'g', [{'points': []}])
    labelme(source, 'h', [], imagePath='../h.jpg')
    draw(source.parent / 'h.jpg')


def test_everything_that_is_wrong_is_listed_at_once_and_nothing_is_written(source, out):
    damage(source)
    with pytest.raises(ValueError, match='problem') as caught:
        convert_labelme(source, out, THINGS)
    text = str(caught.value)
    for words in (
        'a.json: shape 2 (car): a polygon needs 3 points, it has 2',
        "a.json: shape 3 (dog): shapes of type 'point' have no area",
        "a.json: shape 4: label 'cat' is not among the classes",
        'a.json: a dog covers no pixel of the image',
        'a.json: shape 6 (dog): its mask is no PNG',
        'a.json: shape 7 (dog): its points are no list of x, y',
        'a.json: shape 8 (dog): a circle has 2 points, not 3',
        'a.json: captions must be a sentence or a list',
        'b.json: imageWidth x imageHeight is 61 x 40, the image has 60 x 40',
        'c.jpg does not exist',
        'd.jpg is not a readable image',
        'e.json is not valid JSON',
        'f.json: no LabelMe file',
        'g.json: a shape has no label',
        'h.json: its image',
        '--skip-bad',
    ):
        assert words in text, words
    assert not out.exists() and sorted(os.listdir(out.parent)) == ['h.jpg', 'photos']


def test_bad_entries_can_be_left_out(source, out):
    damage(source)
    counts, findings = convert_labelme(source, out, THINGS, skip_bad=True)
    assert counts['images'] == 1 and counts['annotations'] == 1 and len(findings.found) == 15


def test_bad_calls(source, out):
    with pytest.raises(FileNotFoundError, match='no folder with LabelMe files'):
        convert_labelme(source, out)
    labelme(source, 'a', [rectangle('car', 1, 1, 9, 9)])
    with pytest.raises(ValueError, match="must be unique among things and stuff together, not so: \\['car'\\]"):
        convert_labelme(source, out, ['car'], ['car'])
    with pytest.raises(ValueError, match="images='move' must be one of"):
        convert_labelme(source, out, images='move')
    out.mkdir()
    (out / 'mine.txt').touch()
    with pytest.raises(FileExistsError, match='not an empty folder'):
        convert_labelme(source, out)
    assert os.listdir(out) == ['mine.txt']


def test_images_of_one_stem_are_refused(source, out):
    labelme(source, 'a', [])
    draw(source / 'a.png')
    labelme(source, 'b', [], imagePath='a.png')
    with pytest.raises(ValueError, match='b.json: two images are called a, their suffixes aside'):
        convert_labelme(source, out, THINGS)


def test_class_lists_fit_into_a_map():
    names = [f'class {i}' for i in range(253)]
    assert ClassList.number(names).thing_ids[-1] == 253
    with pytest.raises(ValueError, match='254 classes are too many'):
        ClassList.number([*names, 'one more'])
    with pytest.raises(ValueError, match='there is no class'):
        ClassList.number([])
    with pytest.raises(ValueError, match='blank'):
        ClassList.number([' '])


def test_nothing_to_write(source, out):
    with pytest.raises(ValueError, match='no image is left'):
        CocoWriter(ClassList.number(['car']), source).save(out)


points = st.lists(st.tuples(st.floats(-20, 80), st.floats(-20, 60)), min_size=3, max_size=8)


@settings(max_examples=200, deadline=None)
@given(points)
def test_the_box_holds_the_mask_and_lies_in_the_image(polygon):
    flat = [round(v, 2) for point in polygon for v in point]
    one = mask_object('car', [flat], (40, 60))
    mask = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects([flat], 40, 60)))
    if one is None:
        assert mask.sum() == 0 or min(np.ptp(np.clip(np.array(polygon), 0, (60, 40)), axis=0)) < 0.02
        return
    x, y, w, h = one['bbox']
    assert 0 <= x < x + w <= 60 and 0 <= y < y + h <= 40
    assert one['area'] == mask.sum() > 0
    rows, columns = np.nonzero(mask)
    assert x - 1 <= columns.min() and columns.max() <= x + w and y - 1 <= rows.min() and rows.max() <= y + h
