"""Shapes on disk: same bytes for the same seed, files that agree with each other to the pixel, errors."""

import hashlib
import json
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmyolor_mtl.datasets.shapes import SHAPES_METAINFO, STUFF, THINGS, write_shapes
from mmyolor_mtl.datasets.shapes.labels import segmentation

ROOT = Path(__file__).resolve().parents[2]
TRAIN, VAL = 150, 12


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp('shapes') / 'data', TRAIN, VAL, 128, seed=4)


@pytest.fixture(scope='module')
def coco(root):
    return COCO(str(root / 'annotations/instances_train2017.json'))


def tree_hash(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def load(path: Path) -> dict:
    return json.loads(path.read_text())


def test_same_seed_same_bytes(tmp_path):
    first = tree_hash(write_shapes(tmp_path / 'a', 6, 2, 64, seed=1))
    assert tree_hash(write_shapes(tmp_path / 'b', 6, 2, 64, seed=1, workers=2)) == first
    other = tree_hash(write_shapes(tmp_path / 'c', 6, 2, 64, seed=2))
    assert sum(other[name] == first[name] for name in first if name.endswith('.jpg')) == 0


def test_images_do_not_depend_on_the_counts(tmp_path):
    few = tree_hash(write_shapes(tmp_path / 'few', 2, 1, 64))
    many = tree_hash(write_shapes(tmp_path / 'many', 5, 3, 64))
    pictures = [name for name in few if name.endswith(('.jpg', '.png'))]
    assert pictures
    assert all(few[name] == many[name] for name in pictures)


def test_train_and_val_share_no_scene(root):
    hashes = tree_hash(root)
    train = {digest for name, digest in hashes.items() if name.startswith('train2017')}
    val = {digest for name, digest in hashes.items() if name.startswith('val2017')}
    assert (len(train), len(val), len(train & val)) == (TRAIN, VAL, 0)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_layout_is_that_of_coco(root, split):
    instances = load(root / f'annotations/instances_{split}2017.json')
    captions = load(root / f'annotations/captions_{split}2017.json')
    panoptic = load(root / f'annotations/panoptic_{split}2017.json')
    assert instances['images'] == captions['images'] == panoptic['images']
    assert len(instances['images']) == {'train': TRAIN, 'val': VAL}[split]
    for image in instances['images']:
        stem = f'{image["id"]:012d}'
        assert image['file_name'] == f'{stem}.jpg'
        sizes = [
            cv2.imread(str(root / folder / name), cv2.IMREAD_UNCHANGED).shape
            for folder, name in (
                (f'{split}2017', f'{stem}.jpg'),
                (f'stuffthingmaps/{split}2017', f'{stem}.png'),
                (f'annotations/panoptic_{split}2017', f'{stem}.png'),
            )
        ]
        assert sizes == [(128, 128, 3), (128, 128), (128, 128, 3)]
    ids = [annotation['id'] for annotation in instances['annotations']]
    assert len(set(ids)) == len(ids)
    assert [c['id'] for c in instances['categories']] == list(SHAPES_METAINFO['thing_ids'])
    assert [c['name'] for c in instances['categories']] == list(SHAPES_METAINFO['classes'])
    stuff = [c for c in panoptic['categories'] if not c['isthing']]
    assert [c['id'] for c in stuff] == list(SHAPES_METAINFO['stuff_ids'])


def test_every_class_and_special_case_occurs(root, coco):
    annotations = coco.dataset['annotations']
    assert {annotation['category_id'] for annotation in annotations} == set(SHAPES_METAINFO['thing_ids'])
    panoptic = load(root / 'annotations/panoptic_train2017.json')
    seen = {segment['category_id'] for image in panoptic['annotations'] for segment in image['segments_info']}
    assert seen == {*SHAPES_METAINFO['thing_ids'], *SHAPES_METAINFO['stuff_ids']}
    single = [annotation for annotation in annotations if not annotation['iscrowd']]
    crowds = [annotation for annotation in annotations if annotation['iscrowd']]
    assert crowds and all(isinstance(annotation['segmentation']['counts'], list) for annotation in crowds)
    assert any(isinstance(annotation['segmentation'], dict) for annotation in single)
    assert sum(isinstance(annotation['segmentation'], list) for annotation in single) > len(single) / 2
    assert any(not coco.imgToAnns[image_id] for image_id in coco.getImgIds())
    longest = [max(annotation['bbox'][2:]) / 128 for annotation in single]
    assert min(longest) < 0.09 and max(longest) > 0.4
    maps = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (root / 'stuffthingmaps/train2017').iterdir()]
    unlabelled = [np.mean(seg == 255) for seg in maps]
    assert 0 < np.mean(np.array(unlabelled) > 0) < 0.2 and max(unlabelled) < 0.1


def test_boxes_areas_and_semantic_map_follow_the_masks(root, coco):
    for image_id in coco.getImgIds():
        semantic = cv2.imread(str(root / f'stuffthingmaps/train2017/{image_id:012d}.png'), cv2.IMREAD_GRAYSCALE)
        things = np.full_like(semantic, 255)
        for annotation in coco.imgToAnns[image_id]:
            mask = coco.annToMask(annotation).astype(bool)
            rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert annotation['bbox'] == [cols[0], rows[0], cols[-1] + 1 - cols[0], rows[-1] + 1 - rows[0]]
            assert annotation['area'] == mask.sum() > 0
            assert (things[mask] == 255).all(), 'visible masks overlap'
            things[mask] = annotation['category_id'] - 1
        is_thing = semantic < len(THINGS)
        assert np.array_equal(np.where(is_thing, semantic, 255), things)
        assert set(np.unique(semantic[~is_thing])) <= {*range(len(THINGS), len(THINGS) + len(STUFF)), 255}


def test_panoptic_agrees_with_semantic_map_and_instances(root, coco):
    for image in load(root / 'annotations/panoptic_train2017.json')['annotations']:
        picture = cv2.imread(str(root / f'annotations/panoptic_train2017/{image["file_name"]}')).astype(np.int64)
        ids = picture[..., 2] + 256 * picture[..., 1] + 65536 * picture[..., 0]
        semantic = cv2.imread(str(root / f'stuffthingmaps/train2017/{image["file_name"]}'), cv2.IMREAD_GRAYSCALE)
        segments = {segment['id']: segment for segment in image['segments_info']}
        assert set(np.unique(ids)) - {0} == set(segments)
        assert np.array_equal(ids == 0, semantic == 255)
        boxes = []
        for number, segment in segments.items():
            mask = ids == number
            assert segment['area'] == mask.sum()
            assert (semantic[mask] == segment['category_id'] - 1).all()
            if segment['category_id'] <= len(THINGS):
                boxes.append((segment['category_id'], segment['iscrowd'], tuple(segment['bbox'])))
        found = coco.imgToAnns[image['image_id']]
        assert sorted(boxes) == sorted((a['category_id'], a['iscrowd'], tuple(a['bbox'])) for a in found)


def test_polygons_give_back_any_mask_exactly():
    rng = np.random.default_rng(0)
    kinds = []
    for _ in range(60):
        noise = cv2.GaussianBlur(rng.random((40, 50)).astype(np.float32), (0, 0), float(rng.uniform(0.6, 4)))
        mask = noise > np.quantile(noise, rng.uniform(0.3, 0.95))
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (cols[0], rows[0], cols[-1] + 1 - cols[0], rows[-1] + 1 - rows[0])
        for crowd in (False, True):
            code = segmentation(mask, tuple(map(int, box)), crowd)
            kinds.append(type(code))
            coco = COCO()
            coco.imgs = {1: {'id': 1, 'height': 40, 'width': 50}}
            assert np.array_equal(coco.annToMask({'image_id': 1, 'segmentation': code}).astype(bool), mask)
            assert not crowd or sum(code['counts']) == mask.size
    assert kinds.count(list) >= 10


@pytest.mark.parametrize('size', [32, 97, (120, 64), (64, 320)])
def test_any_size(tmp_path, size):
    root = write_shapes(tmp_path / 'data', 3, 1, size)
    width, height = (size, size) if isinstance(size, int) else size
    assert cv2.imread(str(next((root / 'val2017').iterdir()))).shape == (height, width, 3)
    coco = COCO(str(root / 'annotations/instances_train2017.json'))
    for annotation in coco.dataset['annotations']:
        assert coco.annToMask(annotation).shape == (height, width)


def test_no_validation_images(tmp_path):
    root = write_shapes(tmp_path / 'data', 1, 0, 32)
    assert load(root / 'annotations/instances_val2017.json')['images'] == []
    assert len(COCO(str(root / 'annotations/captions_val2017.json')).getImgIds()) == 0
    assert list((root / 'val2017').iterdir()) == []


def test_vocabulary_holds_every_training_word(root):
    words = (root / 'annotations/vocab.txt').read_text().splitlines()
    assert words[:4] == ['[PAD]', '[UNK]', '[BOS]', '[EOS]']
    assert {'a', 'red', 'ball', 'balls', 'grass', 'wooden'} <= set(words)
    said = {
        word.strip(',.').lower()
        for caption in load(root / 'annotations/captions_train2017.json')['annotations']
        for word in caption['caption'].split()
    }
    assert set(words[4:]) == said


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'train': 0}, 'train must be a whole number from 1 .* got 0'),
        ({'val': -1}, 'val must be .* got -1'),
        ({'size': 16}, 'width must be .* from 32 to 4096, got 16'),
        ({'size': (64, 5000)}, 'height must be .* got 5000'),
        ({'seed': -3}, 'seed must be .* got -3'),
        ({'workers': 0}, 'workers must be .* got 0'),
        ({'train': 2.5}, 'train must be a whole number'),
    ],
)
def test_bad_numbers_are_named_and_nothing_is_written(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        write_shapes(tmp_path / 'data', **{'train': 1, 'val': 1, 'size': 32, **changes})
    assert list(tmp_path.iterdir()) == []


def test_existing_folders(tmp_path):
    target = tmp_path / 'data'
    target.mkdir()
    write_shapes(target, 1, 0, 32)  # An empty folder is taken.
    with pytest.raises(FileExistsError, match='not empty.*--overwrite'):
        write_shapes(target, 1, 0, 32)
    write_shapes(target, 2, 0, 32, overwrite=True)
    assert len(list((target / 'train2017').iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ['data']

    foreign = tmp_path / 'thesis'
    foreign.mkdir()
    (foreign / 'chapter.txt').write_text('years of work')
    with pytest.raises(FileExistsError, match=r'not a Shapes data set'):
        write_shapes(foreign, 1, 0, 32, overwrite=True)
    assert (foreign / 'chapter.txt').read_text() == 'years of work'
    with pytest.raises(FileExistsError, match='not a folder'):
        write_shapes(foreign / 'chapter.txt', 1, 0, 32, overwrite=True)


@pytest.mark.parametrize('workers', [1, 2])
def test_an_interrupted_run_leaves_the_old_data(tmp_path, workers):
    target = write_shapes(tmp_path / 'data', 1, 0, 32)
    before = tree_hash(target)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shapes(target, 60, 0, 32, overwrite=True, workers=workers, progress=stop)
    assert tree_hash(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ['data']


@pytest.fixture(scope='module')
def tool():
    return runpy.run_path(str(ROOT / 'tools/dataset_converters/make_shapes.py'))


def test_command_line(tool, tmp_path, capsys):
    out = tmp_path / 'data'
    assert tool['main'](['--out', str(out), '--train', '3', '--val', '1', '--size', '48x32', '--seed', '7']) == 0
    assert '3 training and 1 validation images' in capsys.readouterr().out
    expected = {'version': 1, 'seed': 7, 'width': 48, 'height': 32, 'train': 3, 'val': 1}
    assert load(out / 'shapes.json') == expected
    assert tool['main'](['--out', str(out), '--train', '3']) == 2
    assert 'is not empty' in capsys.readouterr().err
    assert tool['main'](['--out', str(out), '--overwrite', '--train', '2', '--val', '0', '--size', '32']) == 0
    assert load(out / 'shapes.json')['train'] == 2


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--train', '0'], 'train must be a whole number from 1'),
        (['--workers', '0'], 'workers must be'),
        (['--size', '9'], 'from 32 to 4096, got 9'),
    ],
)
def test_command_line_errors(tool, tmp_path, capsys, arguments, message):
    assert tool['main'](['--out', str(tmp_path / 'data'), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert list(tmp_path.iterdir()) == []


def test_command_line_explains_a_bad_size(tool, tmp_path, capsys):
    with pytest.raises(SystemExit):
        tool['main'](['--out', str(tmp_path / 'data'), '--size', '12by4'])
    assert "'12by4' is neither a side like 192 nor WIDTHxHEIGHT" in capsys.readouterr().err
