import numpy as np
import pytest
from mmcv.transforms import Compose
from mmdet.structures.mask import PolygonMasks

from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.datasets.transforms import LoadMTLAnnotations

from .. import tiny_coco as tiny
from .helpers import check_invariants, load


@pytest.fixture(scope='module')
def dataset(tiny_root):
    return COCOMultiTaskDataset(**tiny.config(tiny_root))


@pytest.mark.parametrize('img_id', tiny.SIZES)
def test_labels_of_every_kind_of_image(dataset, img_id):
    results = load(dataset, img_id)
    tasks = results['labelled_tasks']
    assert ('gt_bboxes' in results) == ('det' in tasks)
    assert ('gt_masks' in results) == ('ins' in tasks)
    assert ('gt_seg_map' in results) == ('sem' in tasks)
    assert bool(results['captions']) == ('cap' in tasks)
    assert results['gt_space'] == 'network'
    if 'det' in tasks:
        check_invariants(results, edge=0)


def test_masks_and_map_have_the_right_content(dataset):
    results = load(dataset, tiny.PARTS)
    assert isinstance(results['gt_masks'], PolygonMasks)
    assert results['gt_ignore_flags'].tolist() == [False, False, True]
    assert results['gt_bboxes_labels'].tolist() == [0, 16, 0]
    assert len(results['gt_masks'].masks[0]) == 2
    masks = results['gt_masks'].to_bitmap().masks
    assert masks[1].sum() == 34 * 40 - 14 * 20 and masks[1][60, 20] == 0  # the hole
    assert masks[2].sum() == 24 * 48 - 10 * 10
    semantic = results['gt_seg_map']
    assert set(np.unique(semantic)) == {0, 16, tiny.contiguous(tiny.GRASS), tiny.contiguous(tiny.SKY), 255}
    assert (semantic[-tiny.UNLABELLED_ROWS :] == 255).all()


def test_tasks_can_be_narrowed(dataset):
    info = dataset.get_data_info(0)
    loaded = dataset.load_for_mix(0, Compose([tiny.LOAD[0], LoadMTLAnnotations(tasks=('det',))]))
    assert info['labelled_tasks'] == loaded['partner_tasks'] == ('det', 'ins', 'sem', 'cap')
    assert loaded['labelled_tasks'] == ('det',)
    assert not {'gt_masks', 'gt_seg_map'} & set(loaded) and loaded['captions'] == []


@pytest.mark.parametrize('tasks', [('boxes',), ('ins', 'sem')])
def test_impossible_tasks(tasks):
    with pytest.raises(ValueError, match='tasks='):
        LoadMTLAnnotations(tasks=tasks)


def test_after_letterbox_labels_stay_in_the_original_image(dataset):
    results = dataset.load_for_mix(0, Compose(tiny.TEST_PIPELINE[:3]))
    h, w = tiny.SIZES[tiny.PLAIN]
    assert results['gt_space'] == 'original'
    assert results['gt_seg_map'].shape == (h, w)
    assert (results['gt_masks'].height, results['gt_masks'].width) == (h, w)
    assert np.allclose(results['gt_bboxes'][0], dataset.get_data_info(0)['instances'][0]['bbox'])


def test_pictures_without_labels_pass():
    results = {'img': np.zeros((4, 4, 3), np.uint8), 'ori_shape': (4, 4)}
    assert LoadMTLAnnotations()(dict(results)).keys() == results.keys()


def test_sizes_that_disagree(dataset):
    info = dataset.get_data_info(0)
    with pytest.raises(ValueError, match=r'image 11\) is 50 x 40 px, its annotations say 96 x 80'):
        LoadMTLAnnotations()({**info, 'ori_shape': (40, 50)})


def test_empty_rle_is_left_out(dataset):
    h, w = tiny.SIZES[tiny.PLAIN]
    info = dataset.get_data_info(0)
    info['instances'][0]['mask'] = tiny.rle_of(np.zeros((h, w)), compressed=False)
    results = LoadMTLAnnotations(tasks=('det', 'ins'))({**info, 'ori_shape': (h, w)})
    assert len(results['gt_bboxes']) == len(results['gt_masks']) == len(results['gt_ignore_flags']) == 1
