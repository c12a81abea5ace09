import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.datasets.panoptic_source import PanopticMap
from mmyolor_mtl.evaluation import score_panoptic_files
from mmyolor_mtl.evaluation.panoptic_files import (
    MAX_SEGMENT_ID,
    Segments,
    colour_ids,
    read_panoptic_png,
    segment_records,
    write_panoptic_json,
    write_panoptic_png,
)


@given(st.integers(0, 10**6))
def test_records_equal_plain_loops(seed):
    rng = np.random.default_rng(seed)
    ids = rng.choice([0, 3, 7, 1500], (rng.integers(1, 6), rng.integers(1, 6)))
    segments = Segments(ids, {3: 1, 1500: 2}, {1500})
    expected = []
    for segment in (3, 1500):  # 7 has no category and is void
        rows, columns = np.nonzero(ids == segment)
        if len(rows):
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            expected.append(
                {
                    'id': segment,
                    'category_id': segments.categories[segment],
                    'area': len(rows),
                    'bbox': [int(value) for value in box],
                    'iscrowd': int(segment == 1500),
                }
            )
    assert segment_records(segments) == expected


def test_ids_look_like_their_categories():
    segments = Segments(np.array([[0, 1, 1, 2], [9, 3, 3, 4]]), {1: 5, 2: 5, 3: 5, 4: 6}, {4})
    coloured = colour_ids(segments, {5: (250, 10, 0), 6: (0, 0, 0)})
    pairs = set(zip(segments.ids.ravel().tolist(), coloured.ids.ravel().tolist(), strict=True))
    assert len(pairs) == 6 and {(0, 0), (9, 0), (1, 250 + 256 * 10)} < pairs
    new = dict(pairs)
    assert len({new[1], new[2], new[3], new[4], 0}) == 5  # all apart, and none is void
    assert coloured.categories == {new[1]: 5, new[2]: 5, new[3]: 5, new[4]: 6} and coloured.crowds == {new[4]}
    rgb = np.array([[new[i] & 255, new[i] >> 8 & 255, new[i] >> 16] for i in (1, 2, 3)])
    assert (abs(rgb - (250, 10, 0)) <= 40).all()


def test_pngs_keep_all_ids(tmp_path):
    ids = np.array([[0, 1, 255, 256], [65535, 65536, 8421504, MAX_SEGMENT_ID]])
    path = tmp_path / 'a/b.png'
    write_panoptic_png(path, ids)
    assert (read_panoptic_png(path) == ids).all()
    assert (PanopticMap(str(path), (2, 4)).ids == ids).all()  # as the data set reads it
    for bad in (MAX_SEGMENT_ID + 1, -1):
        with pytest.raises(ValueError, match='do not fit into the three bytes'):
            write_panoptic_png(path, np.full((1, 1), bad))
    path.write_text('text')
    with pytest.raises(ValueError, match='cannot be decoded'):
        read_panoptic_png(path)
    with pytest.raises(FileNotFoundError, match='c.png'):
        read_panoptic_png(path.with_name('c.png'))


@pytest.fixture
def files(tmp_path):
    """Ground truth with two balls on grass, and results that miss one of them."""
    categories = [{'id': 1, 'name': 'ball', 'isthing': 1}, {'id': 20, 'name': 'grass', 'isthing': 0}]
    for name, ids in (('gt', [[5, 5, 9, 9], [6, 6, 9, 9]]), ('results', [[8, 8, 20, 20], [0, 0, 20, 20]])):
        segments = Segments(np.array(ids), {5: 1, 6: 1, 9: 20, 8: 1, 20: 20})
        write_panoptic_png(tmp_path / name / 'a.png', segments.ids)
        annotation = {'image_id': 1, 'file_name': 'a.png', 'segments_info': segment_records(segments)}
        image = {'id': 1, 'height': 2, 'width': 4, 'file_name': 'a.jpg'}
        write_panoptic_json(tmp_path / f'{name}.json', [annotation], [image], categories)
    return tmp_path / 'gt.json', tmp_path / 'results.json'


def test_score_files_by_hand(files):
    quality = score_panoptic_files(*files)
    assert quality['PQ_th'] == pytest.approx(2 / 3) and quality['PQ_st'] == 1 and quality['SQ'] == 1
    assert score_panoptic_files(files[0], files[0]) == dict.fromkeys(quality, 1.0)
    moved = files[1].with_name('moved')
    files[1].with_suffix('').rename(moved)
    assert score_panoptic_files(*files, result_folder=moved) == quality
    with pytest.raises(FileNotFoundError, match='folder .*results with the panoptic maps'):
        score_panoptic_files(*files)


def test_bad_files(files):
    gt, results = files
    content = json.loads(results.read_text())
    results.write_text(json.dumps({**content, 'annotations': []}))
    with pytest.raises(ValueError, match='results.json lacks image 1'):
        score_panoptic_files(gt, results)
    content['annotations'][0]['segments_info'].pop()
    results.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'a.png holds the segment ids \[20\]'):
        score_panoptic_files(gt, results)
    truth = json.loads(gt.read_text())
    del truth['categories']
    gt.write_text(json.dumps(truth))
    with pytest.raises(ValueError, match='gt.json has no list "categories"'):
        score_panoptic_files(gt, results)
