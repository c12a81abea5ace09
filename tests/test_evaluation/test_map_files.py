import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.datasets.label_space import label_map
from mmyolor_mtl.evaluation import map_files, score_stuff_files
from mmyolor_mtl.evaluation.map_files import semantic_png, stuff_results, write_png
from mmyolor_mtl.structures import decode_rle, encode_mask

from .helpers import META

THINGS, STUFF = len(META['classes']), len(META['stuff_classes'])
IDS = [*META['thing_ids'], *META['stuff_ids']]


@given(st.integers(0, 10**6))
def test_stuff_results_fill_the_picture_once(seed):
    labels = np.random.default_rng(seed).integers(0, THINGS + STUFF + 2, (4, 5))
    labels[0, 0] = THINGS
    results = stuff_results(labels, THINGS, META['stuff_ids'], 99)
    canvas = np.zeros(labels.shape, int)
    for result in results:
        canvas += decode_rle(result['segmentation']) * result['category_id']
    expected = np.full(labels.shape, 99)
    for i, category in enumerate(META['stuff_ids']):
        expected[labels == THINGS + i] = category
    assert (canvas == expected).all()
    assert [r['category_id'] for r in results] == sorted(set(expected.ravel().tolist()))


def test_a_picture_without_stuff_is_other_and_one_of_stuff_has_none():
    (result,) = stuff_results(np.zeros((2, 3), int), THINGS, META['stuff_ids'], 99)
    assert result == {'category_id': 99, 'segmentation': encode_mask(np.ones((2, 3), bool))}
    assert [r['category_id'] for r in stuff_results(np.full((2, 3), THINGS), THINGS, META['stuff_ids'], 99)] == [10]


def test_the_data_set_reads_semantic_pngs(tmp_path):
    labels = np.array([[0, 2, 3], [6, 7, 255]])
    write_png(tmp_path / 'new/folder/a.png', semantic_png(labels, IDS))
    pixels = cv2.imread(str(tmp_path / 'new/folder/a.png'), cv2.IMREAD_UNCHANGED)
    assert pixels.tolist() == [[1, 5, 10], [13, 0, 0]]
    lut = label_map(META, seg_map_values='category_id').lut
    assert lut[pixels].tolist() == [[0, 2, 3], [6, 255, 255]]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    write_png(path, np.zeros((2, 2), np.uint8))
    before = path.read_bytes()

    def fail(*_):
        raise OSError('no space')

    monkeypatch.setattr(map_files.os, 'replace', fail)
    with pytest.raises(OSError, match='no space'):
        write_png(path, np.ones((2, 2), np.uint8))
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ['a.png']


@pytest.fixture
def files(tmp_path):
    """Ground truth (grass, then other, then a column without a label) and results that confuse a column."""
    gt = {10: np.s_[:, :2], 183: np.s_[:, 2:4]}
    pred = {10: np.s_[:, :1], 183: np.s_[:, 1:]}
    paths = tmp_path / 'gt.json', tmp_path / 'results.json'
    segments = [
        [{'image_id': 1, 'category_id': category, 'segmentation': rectangle(place)} for category, place in part.items()]
        for part in (gt, pred)
    ]
    image = {'id': 1, 'height': 2, 'width': 5, 'file_name': 'a.jpg'}
    paths[0].write_text(json.dumps({'images': [image], 'annotations': segments[0]}))
    paths[1].write_text(json.dumps(segments[1]))
    return paths


def rectangle(place):
    mask = np.zeros((2, 5), bool)
    mask[place] = True
    return encode_mask(mask)


def test_score_stuff_files_by_hand(files):
    assert score_stuff_files(*files) == pytest.approx(
        {'mIoU': (1 / 2 + 2 / 3) / 2, 'aAcc': 6 / 8, 'mAcc': 3 / 4, 'FWIoU': (1 / 2 + 2 / 3) / 2}
    )
    files[1].write_text('[]')  # an image without results is wrong
    assert score_stuff_files(*files)['mIoU'] == 0


def test_bad_files(files):
    gt, results = files
    good = json.loads(results.read_text())
    for content, message in (
        ({'a': 1}, 'results.json is no COCO result file'),
        ([{'image_id': 1}], 'results.json is no COCO result file'),
        ([{**good[0], 'image_id': 7}], 'segment on image 7, which the ground truth lacks'),
        ([{**good[0], 'category_id': 55}], 'segment of category 55, which is unknown'),
    ):
        results.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            score_stuff_files(gt, results)
    results.write_text(json.dumps(good))
    gt.write_text(json.dumps({'images': [], 'annotations': []}))
    results.write_text('[]')
    with pytest.raises(ValueError, match='labels no pixel'):
        score_stuff_files(gt, results)
    with pytest.raises(FileNotFoundError, match='none.json'):
        score_stuff_files(gt, results.with_name('none.json'))
