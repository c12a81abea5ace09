"""Real COCO images with all their oddities; skipped where they are not at hand."""

import json

import numpy as np
import pytest

from mmyolor_mtl.datasets import COCOMultiTaskDataset
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
