"""Splits are complete, disjoint, alike in all files, repeatable, and share out rare classes."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.datasets.converters import split_coco
from mmyolor_mtl.datasets.converters.split import _by_ratio, _whole_places

from .. import tiny_coco
from . import coco_zips
from .helpers import read


@pytest.fixture
def folder(tmp_path):
    return coco_zips.build_source(tmp_path) / 'annotations'


def files(folder, *kinds):
    return [folder / f'{kind}_train2017.json' for kind in kinds]


def ids(path):
    return {image['id'] for image in read(path)['images']}


def test_all_files_are_split_alike(folder):
    kinds = ('instances', 'captions', 'stuff', 'panoptic')
    counts = split_coco(files(folder, *kinds), ratios={'a': 0.6, 'b': 0.4}, seed=3)
    assert counts == {'a': 4, 'b': 3}
    images = {split: set() for split in 'ab'}
    for kind in kinds:
        whole = read(folder / f'{kind}_train2017.json')
        parts = {split: read(folder / f'{kind}_train2017_{split}.json') for split in 'ab'}
        for key in ('images', 'annotations'):
            assert sum(len(part[key]) for part in parts.values()) == len(whole[key])
        for split, part in parts.items():
            assert part.get('categories') == whole.get('categories')
            images[split] |= {image['id'] for image in part['images']}
            assert {annotation['image_id'] for annotation in part['annotations']} <= images[split]
    assert not images['a'] & images['b'] and images['a'] | images['b'] == set(tiny_coco.SIZES)


def test_equal_seeds_give_equal_splits(folder, tmp_path):
    outs = [tmp_path / name for name in 'abc']
    for out, seed in zip(outs, (1, 1, 2), strict=True):
        split_coco(files(folder, 'instances'), ratios={'train': 0.5, 'val': 0.5}, seed=seed, out_dir=out)
    first, second, third = (ids(out / 'instances_train2017_val.json') for out in outs)
    assert first == second and (first != third or ids(outs[0] / 'instances_train2017_train.json') != third)


def test_lists_of_images(folder, tmp_path):
    lines = tmp_path / 'val.txt'
    lines.write_text('000000000011.jpg\n000000000012\n\ntrain2017/000000000013.jpg\n14\n')
    assert split_coco(files(folder, 'instances', 'captions'), lists={'val': lines}, rest='train') == {
        'val': 4,
        'train': 3,
    }
    assert ids(folder / 'instances_train2017_val.json') == {11, 12, 13, 14}
    assert ids(folder / 'captions_train2017_train.json') == {16, 17}


def test_images_that_no_list_names_are_left_out(folder, tmp_path):
    (tmp_path / 'val.txt').write_text('11\n')
    assert split_coco(files(folder, 'captions'), lists={'val': tmp_path / 'val.txt'}) == {'val': 1}
    assert [path.name for path in folder.glob('captions_train2017_*')] == ['captions_train2017_val.json']


def test_bad_calls(folder, tmp_path):
    one, two = tmp_path / 'one.txt', tmp_path / 'two.txt'
    one.write_text('11\n'), two.write_text('12\n11\n')
    paths = files(folder, 'instances')
    with pytest.raises(ValueError, match='sum to 1'):
        split_coco(paths, ratios={'train': 0.5, 'val': 0.4})
    with pytest.raises(ValueError, match='either ratios or lists'):
        split_coco(paths)
    with pytest.raises(ValueError, match=r"two.txt:2: '11' is in the split 'one' already"):
        split_coco(paths, lists={'one': one, 'two': two})
    one.write_text('999\n')
    with pytest.raises(ValueError, match="one.txt:1: no image is called '999'"):
        split_coco(paths, lists={'one': one})
    with pytest.raises(FileNotFoundError, match='three.txt does not exist'):
        split_coco(paths, lists={'one': tmp_path / 'three.txt'})
    with pytest.raises(FileNotFoundError, match='nothing.json does not exist'):
        split_coco([tmp_path / 'nothing.json'], ratios={'train': 1})
    (folder / 'broken.json').write_text(json.dumps({'images': [{'id': 1}]}))
    with pytest.raises(ValueError, match='an image has no id or no file_name'):
        split_coco([folder / 'broken.json'], ratios={'train': 1})
    split_coco(paths, ratios={'train': 1.0})
    with pytest.raises(FileExistsError, match='instances_train2017_train.json exists: remove it'):
        split_coco(paths, ratios={'train': 1.0})
    assert not [name for name in os.listdir(folder) if name.endswith('.part')]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 6), max_size=3), min_size=2, max_size=60),
    st.floats(0.1, 0.9),
    st.integers(0, 5),
)
def test_every_image_is_in_one_split_of_the_right_size(sets, share, seed):
    images = list(range(len(sets)))
    split_of = _by_ratio(images, dict(enumerate(sets)), {'train': share, 'val': 1 - share}, seed)
    assert sorted(split_of) == images
    train = sum(name == 'train' for name in split_of.values())
    assert abs(train - share * len(images)) <= 1 and 0 < train < len(images)


def test_rare_classes_are_on_both_sides():
    # 200 images; the classes 1 to 5 occur in two to six of them.
    labels = {image: {0} for image in range(200)}
    position = 0
    for rare in range(1, 6):
        for _ in range(rare + 1):
            labels[position].add(rare)
            position += 1
    for seed in range(10):
        split_of = _by_ratio(sorted(labels), labels, {'train': 0.8, 'val': 0.2}, seed)
        for rare in range(1, 6):
            assert {split_of[i] for i, found in labels.items() if rare in found} == {'train', 'val'}, (seed, rare)


@given(st.integers(1, 500), st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_places_are_whole_and_none_is_empty(count, weights):
    import numpy as np

    places = _whole_places(count, np.array(weights) / sum(weights))
    assert places.sum() == count and (places >= 0).all()
    assert count < len(weights) or (places > 0).all()
