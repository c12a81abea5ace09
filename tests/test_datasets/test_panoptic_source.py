import cv2
import numpy as np
import pycocotools.mask as mask_utils
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.datasets.panoptic_source import PanopticMap, panoptic_map_fault

IDS = [1, 255, 256, 70_000, 256**3 - 1]


def write(path, ids):
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    assert cv2.imwrite(str(path), rgb[..., ::-1])
    return str(path)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), height=st.integers(1, 12), width=st.integers(1, 12))
def test_ids_labels_and_masks_come_back(tmp_path_factory, data, height, width):
    count = height * width
    chosen = data.draw(st.lists(st.integers(0, len(IDS)), min_size=count, max_size=count))
    number = np.array(chosen).reshape(height, width)
    ids = np.array([0, *IDS])[number]
    panoptic = PanopticMap(write(tmp_path_factory.mktemp('pan') / 'map.png', ids), (height, width))
    assert (panoptic.ids == ids).all()
    labels = panoptic.semantic_map([(segment, label) for label, segment in enumerate(IDS)])
    assert (labels == np.array([255, 0, 1, 2, 3, 4])[number]).all()
    for segment in IDS:
        rings = panoptic.polygons(segment)
        mask = ids == segment
        assert bool(rings) == mask.any()
        if rings:
            drawn = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(rings, height, width)))
            assert (drawn == mask).all()


def test_unlisted_segments(tmp_path):
    path = write(tmp_path / 'map.png', np.array([[0, 7], [7, 300]]))
    panoptic = PanopticMap(path, (2, 2))
    assert panoptic.semantic_map([(7, 4), (300, 255)]).tolist() == [[255, 4], [4, 255]]
    with pytest.raises(ValueError, match=r'segment ids \[300\] that its JSON does not list'):
        panoptic.semantic_map([(7, 4)])
    assert panoptic_map_fault(path, (2, 2), [(7, 4), (300, 5)]) is None
    assert 'segment ids [300]' in panoptic_map_fault(path, (2, 2), [(7, 4)])


def test_bad_files(tmp_path):
    path = write(tmp_path / 'map.png', np.zeros((2, 3), int))
    with pytest.raises(ValueError, match='is 3 x 2 px, its image 5 x 4'):
        PanopticMap(path, (4, 5))
    assert '3 x 2 px' in panoptic_map_fault(path, (4, 5), [])
    (tmp_path / 'broken.png').write_bytes(b'nothing')
    with pytest.raises(ValueError, match='cannot be decoded'):
        PanopticMap(str(tmp_path / 'broken.png'), (2, 3))
    assert 'broken.png' in panoptic_map_fault(str(tmp_path / 'broken.png'), (2, 3), [])
