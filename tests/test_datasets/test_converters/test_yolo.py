"""YOLO's text files become objects with boxes or masks."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.datasets.converters import convert_yolo
from mmyolor_mtl.datasets.converters.yolo import _parse

from .helpers import by_class, draw, read


@pytest.fixture
def source(tmp_path):
    return tmp_path / 'yolo'


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'out'


def label(path, text=''):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_boxes_and_polygons_mixed_with_splits(source, out):
    (source / 'images').mkdir(parents=True)
    (source / 'data.yaml').write_text('path: ../yolo\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n')
    draw(source / 'images/train/a.jpg')
    draw(source / 'images/train/b.jpg')
    draw(source / 'images/val/c.png')
    box, polygon = '0 0.5 0.5 0.5 0.25', '1 0 0 0.5 0 0.5 0.5 0 0.5'
    label(source / 'labels/train/a.txt', f'{box}\n{polygon}\n\n{box}\n')
    label(source / 'labels/train/b.txt')
    counts, findings = convert_yolo(source, out)
    assert counts == {'images': 3, 'annotations': 2, 'captions': 0, 'maps': 0} and not findings.found
    train = read(out / 'annotations/instances_train.json')
    assert [image['file_name'] for image in train['images']] == ['train/a.jpg', 'train/b.jpg']
    found = by_class(train, 'train/a.jpg')
    assert found['cat'][0]['bbox'] == [15, 15, 30, 10] and 'segmentation' not in found['cat'][0]
    assert found['dog'][0]['bbox'] == [0, 0, 30, 20] and found['dog'][0]['area'] == 600
    assert found['dog'][0]['segmentation'] == [[0, 0, 30, 0, 30, 20, 0, 20]]
    # A missing file says the same as an empty one.
    assert read(out / 'annotations/instances_val.json')['annotations'] == []
    assert (out / 'images/val/c.png').exists()


def test_classes_txt_and_a_folder_for_each_split(source, out):
    draw(source / 'train/images/a.jpg')
    label(source / 'train/labels/a.txt', '1 0.5 0.5 1 1\n')
    label(source / 'data.yaml', 'names: [cat, dog]\ntrain: ../train/images\n')
    convert_yolo(source, out)
    content = read(out / 'annotations/instances_train.json')
    assert by_class(content, 'train/images/a.jpg')['dog'][0]['bbox'] == [0, 0, 60, 40]
    os.remove(source / 'data.yaml')
    with pytest.raises(FileNotFoundError, match='neither a .*yaml with "names" nor classes.txt'):
        convert_yolo(source, out.parent / 'second')
    label(source / 'classes.txt', 'cat\ndog\n')
    with pytest.raises(FileNotFoundError, match='classes.txt: images is neither a folder nor a list'):
        convert_yolo(source, out.parent / 'second')
    draw(source / 'images/b.jpg')
    convert_yolo(source, out.parent / 'second')
    assert read(out.parent / 'second/annotations/instances.json')['images'][0]['file_name'] == 'b.jpg'


def test_a_split_may_be_a_list_of_images(source, out):
    draw(source / 'images/a.jpg')
    draw(source / 'images/b.jpg')
    label(source / 'train.txt', './images/b.jpg\n')
    label(source / 'data.yaml', 'names: [cat]\ntrain: train.txt\n')
    convert_yolo(source, out)
    assert [i['file_name'] for i in read(out / 'annotations/instances_train.json')['images']] == ['b.jpg']


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('0 0.5 0.5 0.5', '3 numbers after the class'),
        ('0 0.1 0.1 0.2 0.2 0.3', '5 numbers after the class'),
        ('2 0.5 0.5 0.5 0.5', 'class 2 is not among the 2 names'),
        ('-1 0.5 0.5 0.5 0.5', 'class -1 is not among'),
        ('cat 0.5 0.5 0.5 0.5', 'is not "class cx cy w h"'),
        ('0 320 240 64 64', 'must be fractions of width and height'),
        ('0 nan 0.5 0.5 0.5', 'must be fractions'),
        ('0 0.5 0.5 0 0.5', 'the cat covers no pixel'),
        ('1 0.1 0.1 0.2 0.1 0.3 0.1', 'the dog covers no pixel'),
    ],
)
def test_bad_lines_are_named_by_file_and_line(source, out, line, message):
    draw(source / 'images/a.jpg')
    label(source / 'classes.txt', 'cat\ndog\n')
    label(source / 'labels/a.txt', f'0 0.5 0.5 0.5 0.5\n{line}\n')
    with pytest.raises(ValueError, match=f'a.txt:2: .*{message}'):
        convert_yolo(source, out)
    assert not out.exists()
    counts, findings = convert_yolo(source, out, skip_bad=True)
    assert counts['annotations'] == 1 and len(findings.found) == 1


def test_bad_settings(source, out):
    label(source / 'data.yaml', 'names: {1: cat, 3: dog}\n')
    with pytest.raises(ValueError, match='the keys of names must be 0 to 1'):
        convert_yolo(source, out)
    label(source / 'data.yaml', 'names: [')
    with pytest.raises(ValueError, match='data.yaml is not valid YAML'):
        convert_yolo(source, out)
    (source / 'images').mkdir()
    label(source / 'data.yaml', 'names: [cat]')
    with pytest.raises(FileNotFoundError, match='there is no image in images'):
        convert_yolo(source, out)
    (source / 'images/a.jpg').write_bytes(b'no image')
    with pytest.raises(ValueError, match='a.jpg is not a readable image'):
        convert_yolo(source, out)


@given(st.integers(1, 2000), st.integers(1, 2000), *[st.floats(0.01, 1)] * 4)
def test_boxes_survive_the_round_trip(height, width, x1, y1, x2, y2):
    (x1, x2), (y1, y2) = sorted((x1, x2)), sorted((y1, y2))
    if x2 - x1 < 1e-3 or y2 - y1 < 1e-3:
        return
    fields = ['0', *(f'{v:.9f}' for v in ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1))]
    bbox = _parse(fields, ['cat'], (height, width))['bbox']
    assert bbox == pytest.approx([x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height], abs=2e-3)
