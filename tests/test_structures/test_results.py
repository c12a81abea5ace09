import json

import mmdet.evaluation
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from pycocotools import mask as mask_utils

from mmyolor_mtl.structures import INSTANCE_OFFSET, MTLResult, encode_mask

META = dict(classes=('cat', 'dog'), stuff_classes=('grass', 'sky'), extra_classes=('other',))


@pytest.fixture
def sample():
    sample = DetDataSample(metainfo=dict(ori_shape=(6, 8), img_path='dir/x.jpg'))
    masks = torch.zeros(3, 6, 8, dtype=torch.bool)
    masks[0, 1:3, 1:4] = True
    masks[1, 4:, 5:] = True
    boxes = torch.tensor([[1.0, 1, 4, 3], [5, 4, 8, 6], [0, 0, 1, 1]])
    scores = torch.tensor([0.5, 0.75, 0.05])
    sample.pred_instances = InstanceData(bboxes=boxes, scores=scores, labels=torch.tensor([1, 0, 0]), masks=masks)
    sem = torch.full((1, 6, 8), 2)
    sem[:, :2] = 3
    sem[:, 5, 0] = 4
    sample.pred_sem_seg = PixelData(sem_seg=sem)
    panoptic = sem.clone()
    panoptic[0][masks[0]] = 1001
    panoptic[0][masks[1]] = 2000
    sample.pred_panoptic_seg = PixelData(sem_seg=panoptic)
    sample.set_field('Two animals', 'pred_caption')
    sample.set_field(torch.tensor(-1.25), 'pred_caption_score')
    return sample


def test_from_sample_sorts_by_score_and_names_classes(sample):
    result = MTLResult.from_sample(sample, META, score_thr=0.1)
    assert (result.image, result.height, result.width) == ('dir/x.jpg', 6, 8)
    assert result.class_names == ['cat', 'dog'] and result.scores.tolist() == [0.75, 0.5]
    assert result.boxes.tolist() == [[5, 4, 8, 6], [1, 1, 4, 3]]
    assert mask_utils.area(result.masks[0]) == 6 and result.sem_seg.dtype == np.uint8
    assert [(s.class_name, s.is_thing, s.area) for s in result.segments] == [
        ('grass', False, 48 - 16 - 3 - 6 - 1),
        ('sky', False, 16 - 3),
        ('dog', True, 6),
        ('cat', True, 6),
    ]
    assert (result.caption, result.caption_score) == ('Two animals', -1.25)
    assert result.summary() == '2 objects, 3 semantic classes, "Two animals"'


def test_json_round_trip_holds_every_pixel(sample, tmp_path):
    result = MTLResult.from_sample(sample, META)
    result.save(tmp_path / 'sub' / 'x.json')
    loaded = json.loads((tmp_path / 'sub' / 'x.json').read_text())
    assert loaded['objects'][0]['bbox'] == [5.0, 4.0, 8.0, 6.0] and loaded['objects'][0]['class_name'] == 'cat'
    assert [entry['class_name'] for entry in loaded['semantic']] == ['grass', 'sky', 'other']
    assert sum(entry['share'] for entry in loaded['semantic']) == pytest.approx(1, abs=1e-5)
    rebuilt = np.zeros((6, 8), int)
    for entry in loaded['semantic']:
        rebuilt[mask_utils.decode(entry['mask']).astype(bool)] = entry['label']
    assert np.array_equal(rebuilt, sample.pred_sem_seg.sem_seg[0])
    panoptic = np.full((6, 8), 4)
    for segment in loaded['panoptic']:
        panoptic[mask_utils.decode(segment['mask']).astype(bool)] = segment['id']
    assert np.array_equal(panoptic, sample.pred_panoptic_seg.sem_seg[0])
    assert loaded['caption'] == {'text': 'Two animals', 'score': -1.25}


def test_missing_tasks_are_left_out():
    sample = DetDataSample(metainfo=dict(ori_shape=(6, 8), img_path='x.jpg'))
    result = MTLResult.from_sample(sample, META, image='name')
    assert result.to_dict() == {'image': 'name', 'height': 6, 'width': 8, 'objects': []}
    assert result.summary() == '0 objects'


def test_empty_predictions_and_scores_that_json_cannot_hold(sample):
    sample.pred_instances = sample.pred_instances[torch.zeros(3, dtype=torch.bool)]
    sample.set_field(float('nan'), 'pred_caption_score')
    out = MTLResult.from_sample(sample, META).to_dict()
    assert out['objects'] == [] and out['caption']['score'] is None
    json.dumps(out, allow_nan=False)


def test_errors_are_results_too(tmp_path):
    result = MTLResult('x.jpg', error='cannot decode x.jpg')
    assert result.to_dict() == {'image': 'x.jpg', 'error': 'cannot decode x.jpg'} and 'failed' in result.summary()
    with pytest.raises(ValueError, match='ends in .json'):
        result.save(tmp_path / 'x.txt')


def test_masks_that_are_run_lengths_already(sample):
    dense = MTLResult.from_sample(sample, META)
    masks = sample.pred_instances.masks.numpy()
    sample.pred_instances.masks = [encode_mask(mask) for mask in masks]
    assert MTLResult.from_sample(sample, META).masks == dense.masks


def test_instance_offset_is_that_of_mmdet():
    assert INSTANCE_OFFSET == mmdet.evaluation.INSTANCE_OFFSET
