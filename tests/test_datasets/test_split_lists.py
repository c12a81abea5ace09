import json

import pytest

from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.datasets.split_lists import select_split

from . import tiny_coco as tiny

# Images of COCO have ids; their names are those of 2014.
KARPATHY = [
    {'cocoid': img_id, 'filename': f'COCO_val2014_{img_id:012d}.jpg', 'filepath': 'val2014', 'split': split}
    for img_id, split in ((tiny.PLAIN, 'train'), (tiny.PARTS, 'restval'), (tiny.EMPTY, 'test'), (999, 'train'))
]


def build(root, **overrides):
    return COCOMultiTaskDataset(**{**tiny.config(root, check='none'), **overrides})


def ids_of(root, **overrides):
    dataset = build(root, **overrides)
    return [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))]


@pytest.mark.parametrize(
    ('split', 'expected'),
    [(('train', 'restval'), [tiny.PLAIN, tiny.PARTS]), ('test', [tiny.EMPTY]), (['train'], [tiny.PLAIN])],
)
def test_karpathy_splits_by_id(own_root, split, expected):
    (own_root / 'dataset_coco.json').write_text(json.dumps({'images': KARPATHY, 'dataset': 'coco'}))
    assert ids_of(own_root, split_file='dataset_coco.json', split=split) == expected


def test_karpathy_splits_by_name_where_there_are_no_ids(own_root):
    records = [{'filename': f'{i:012d}.jpg', 'split': 'test'} for i in (tiny.NO_MAP, tiny.CAPTION_ONLY)]
    (own_root / 'flickr.json').write_text(json.dumps({'images': records}))
    assert ids_of(own_root, split_file='flickr.json', split='test') == [tiny.NO_MAP, tiny.CAPTION_ONLY]


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('ids.txt', f'{tiny.PLAIN}\n\n{tiny.EMPTY}\n'),
        ('names.txt', f'{tiny.PLAIN:012d}.jpg\n{tiny.EMPTY:012d}.jpg'),
        ('paths.txt', f'./images/train2017/{tiny.PLAIN:012d}.jpg\ntrain2017/{tiny.EMPTY:012d}.jpg'),
        ('ids.json', json.dumps([tiny.PLAIN, tiny.EMPTY])),
        ('names.json', json.dumps([f'{tiny.EMPTY:012d}.jpg', f'{tiny.PLAIN:012d}.jpg'])),
    ],
)
def test_plain_lists(own_root, name, text):
    (own_root / name).write_text(text)
    assert ids_of(own_root, split_file=name) == [tiny.PLAIN, tiny.EMPTY]


def test_equal_names_in_different_folders_are_different_images(tmp_path):
    images = {i: {'file_name': name} for i, name in enumerate(['a/1.jpg', 'b/1.jpg', 'ab/1.jpg'])}
    (tmp_path / 'list.txt').write_text('data/b/1.jpg\n')
    assert list(select_split(images, str(tmp_path / 'list.txt'), None)) == [1]


def test_ids_may_be_texts(tmp_path):
    images = {'x7': {'file_name': 'a.jpg'}, '12': {'file_name': 'b.jpg'}}
    (tmp_path / 'list.txt').write_text('x7\n12\n')
    assert list(select_split(images, str(tmp_path / 'list.txt'), None)) == ['x7', '12']


@pytest.mark.parametrize(
    ('name', 'text', 'split', 'message'),
    [
        ('k.json', json.dumps({'images': KARPATHY}), None, r"split=None must name .*\['restval', 'test', 'train'\]"),
        ('k.json', json.dumps({'images': KARPATHY}), ('train', 'trial'), "split=.'train', 'trial'. must name some"),
        ('k.json', json.dumps({'images': [{'cocoid': 3}]}), 'train', 'entry 0 of "images" has no split'),
        ('k.json', '{', 'train', 'not valid JSON'),
        ('k.json', '[[1]]', None, 'neither a list of image ids'),
        ('list.txt', '11', 'train', 'needs a list that names splits'),
        ('list.txt', '98\n99', None, 'none of its 2 images is among the 7 of the data set'),
        ('list.txt', '', None, 'none of its 0 images'),
    ],
)  # fmt: skip
def test_bad_lists(own_root, name, text, split, message):
    (own_root / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        build(own_root, split_file=name, split=split)


def test_missing_list(tiny_root):
    with pytest.raises(FileNotFoundError, match=r'karpathy\.json does not exist'):
        build(tiny_root, split_file='karpathy.json', split='train')
