"""Real COCO images with all their oddities; skipped where they are not at hand."""

import json

import cv2
import numpy as np
import pytest

from mmyolor_mtl.datasets import COCO_METAINFO, COCOMultiTaskDataset, semantic_lut
from mmyolor_mtl.datasets.transforms.polygons import FlatPolygons
from mmyolor_mtl.models.text import WordTokenizer

from . import tiny_coco as tiny


@pytest.fixture(scope='module')
def root(request):
    folder = request.getfixturevalue('shared_dir') / 'mini_coco'
    if not folder.is_dir():
        pytest.skip('needs shared/mini_coco')
    return folder


@pytest.mark.parametrize(('split', 'count', 'maps'), [('train2017', 204, 165), ('val2017', 36, 36)])
def test_every_image_loads(root, split, count, maps):
    dataset = COCOMultiTaskDataset(**tiny.config(root, split, pipeline=tiny.LOAD, check='decode', test_mode=True))
    assert len(dataset) == count
    tasks = [dataset.get_data_info(i)['labelled_tasks'] for i in range(count)]
    assert sum('sem' in one for one in tasks) == maps
    assert all({'det', 'ins', 'cap'} <= set(one) for one in tasks)
    for i in range(count):
        results = dataset[i]
        assert len(results['gt_bboxes']) == len(results['gt_masks']) == len(results['instances'])


def read_map(root, split, img_id):
    return cv2.imread(str(root / f'stuffthingmaps/{split}/{img_id:012d}.png'), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(('split', 'count'), [('train2017', 70), ('val2017', 34)])
def test_maps_painted_on_loading_are_the_published_ones(root, tmp_path, split, count):
    """The stuff of every map that is exact, as a stuff JSON, and the official instances: not a pixel differs."""
    sources = json.loads((root / 'annotations/sources.json').read_text())
    official = {
        int(i) for i, one in sources.items() if (one['instances'], one['semantic_map']) == ('official', 'exact')
    }
    content = json.loads((root / f'annotations/instances_{split}.json').read_text())
    images = [image for image in content['images'] if image['id'] in official]
    stuff = []
    for image in images:
        published = read_map(root, split, image['id'])
        for value in np.unique(published[(published >= 91) & (published < 182)]).tolist():
            rle = tiny.rle_of(published == value, compressed=True)
            box = [0, 0, image['width'], image['height']]
            one = {'image_id': image['id'], 'category_id': value + 1, 'segmentation': rle, 'bbox': box, 'area': 1}
            stuff.append({**one, 'id': len(stuff) + 1, 'iscrowd': 0})
    (tmp_path / 'stuff.json').write_text(json.dumps({'images': images, 'annotations': stuff}))
    (tmp_path / 'list.json').write_text(json.dumps([image['id'] for image in images]))
    config = tiny.config(root, split, data_prefix={'img': split}, pipeline=tiny.LOAD, check='none', test_mode=True)
    files = {'stuff_file': str(tmp_path / 'stuff.json'), 'split_file': str(tmp_path / 'list.json')}
    dataset = COCOMultiTaskDataset(**{**config, **files, 'split': None})
    assert len(dataset) == count
    lut = semantic_lut(COCO_METAINFO)
    for i in range(count):
        sample = dataset[i]
        assert (sample['gt_seg_map'] == lut[read_map(root, split, sample['img_id'])]).all(), sample['img_id']


def test_panoptic_files_give_objects_and_maps(root):
    files = {
        'ann_file': '',
        'caption_file': '',
        'panoptic_file': 'annotations/panoptic_train2017.json',
        'data_prefix': {'img': 'train2017', 'panoptic': 'annotations/panoptic_train2017'},
    }
    config = tiny.config(root, pipeline=tiny.LOAD, check='decode', test_mode=True)
    dataset = COCOMultiTaskDataset(**{**config, **files, 'metainfo': 'file'})
    official = COCOMultiTaskDataset(**tiny.config(root, pipeline=tiny.LOAD, check='none', test_mode=True))
    index = {official.get_data_info(i)['img_id']: i for i in range(len(official))}
    assert len(dataset) == 97 and len(dataset.metainfo['stuff_classes']) == 53
    agreeing, labelled = 0, 0
    for i in range(97):
        own = dataset[i]
        assert own['labelled_tasks'] == ('det', 'ins', 'sem') and len(own['gt_masks']) == len(own['instances'])
        assert ((own['gt_seg_map'] < 133) | (own['gt_seg_map'] == 255)).all()
        other = official[index[own['img_id']]]
        if 'gt_seg_map' in other:
            things = (own['gt_seg_map'] < 80) & (other['gt_seg_map'] < 80)
            agreeing += (own['gt_seg_map'] == other['gt_seg_map'])[things].sum()
            labelled += things.sum()
    assert labelled > 10**6 and agreeing / labelled > 0.98


def test_joint_pipeline(root, tmp_path):
    captions = json.loads((root / 'annotations/captions_train2017.json').read_text())['annotations']
    WordTokenizer.build([ann['caption'] for ann in captions]).save(tmp_path / 'vocab.txt')
    pipeline = tiny.train_pipeline(tmp_path / 'vocab.txt', mixup=0.3)
    dataset = COCOMultiTaskDataset(**tiny.config(root, pipeline=pipeline, check='none'))
    for i in range(0, 204, 4):
        packed = dataset[i]
        sample = packed['data_samples']
        boxes = sample.gt_instances.bboxes
        assert packed['inputs'].shape == (3, 64, 64)
        assert len(boxes) == len(sample.gt_mask_targets) == len(sample.gt_instances.masks)
        assert (boxes >= 0).all() and (boxes <= 64).all() and sample.gt_mask_targets.any(2).any(1).all()
        assert sample.gt_caption_ids.shape[-1] <= 12


def test_boxes_stay_tight(root):
    dataset = COCOMultiTaskDataset(**tiny.config(root, pipeline=[*tiny.LOAD, *tiny.STRONG], check='none'))
    scale = 16  # drawn so fine that hardly any outline falls between the pixel centres
    errors = []
    for i in range(0, 204, 6):
        results = dataset[i]
        polygons = FlatPolygons.from_masks(results['gt_masks']).affine(np.diag([scale, scale, 1.0]))
        masks = polygons.rasterize(64 * scale, 64 * scale)
        for mask, box in zip(masks, results['gt_bboxes'], strict=True):
            xs, ys = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
            tight = np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]) / scale
            errors.append(np.abs(tight - box).max())
    assert len(errors) > 100 and np.mean(np.array(errors) > 0.3) < 0.01, np.sort(errors)[-10:]
