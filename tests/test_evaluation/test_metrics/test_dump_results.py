"""Predictions of ``test.py --out`` and the tools of mmdet that read them."""

import pickle

import pytest
import torch
from pycocotools import mask as mask_utils

from mmyolor_mtl.registry import METRICS

from .test_detection_metric import OBJECTS, make_metric, make_sample, write_truth


@pytest.mark.parametrize('masks', ['tensor', 'runs', None])
def test_masks_are_run_lengths_and_an_evaluator_reads_them(tmp_path, masks):
    path = tmp_path / 'all.pkl'
    metric = METRICS.build(dict(type='mmyolor_mtl.DumpMTLResults', out_file_path=str(path)))
    samples = [make_sample(img_id=i, masks=masks) for i in (1, 2)]
    metric.process(None, samples)
    metric.evaluate(2)
    dumped = pickle.loads(path.read_bytes())
    assert all('gt_instances' not in sample and len(sample['pred_instances']['labels']) == 2 for sample in dumped)
    kinds = ['bbox', 'segm'] if masks else ['bbox']
    if masks:
        area = mask_utils.area(dumped[0]['pred_instances']['masks'][0])
        assert area == OBJECTS[0][3] * OBJECTS[0][4]
    # As tools/analysis_tools/eval_metric.py does it
    offline = make_metric(metric=kinds, ann_file=write_truth(tmp_path / 'a.json'))
    offline.process(None, dumped)
    assert offline.evaluate(2)['coco/bbox_mAP'] == pytest.approx(1)


@pytest.mark.filterwarnings('ignore:Panoptic segmentation map')
def test_maps_are_small_and_the_same(tmp_path):
    metric = METRICS.build(dict(type='mmyolor_mtl.DumpMTLResults', out_file_path=str(tmp_path / 'all.pkl')))
    maps = [torch.tensor([[[0, 172]]]), torch.tensor([[[300, 7]]]), torch.tensor([[[0, 41001]]])]
    sample = dict(img_id=1, gt_sem_seg=dict(sem_seg=maps[0]), pred_sem_seg=dict(sem_seg=maps[0]))
    metric.process(None, [sample, dict(img_id=2, pred_sem_seg=dict(sem_seg=maps[1]))])
    metric.process(None, [dict(img_id=3, pred_panoptic_seg=dict(sem_seg=maps[2]))])
    first, second, third = metric.results
    found = [first['gt_sem_seg'], first['pred_sem_seg'], second['pred_sem_seg'], third['pred_panoptic_seg']]
    assert [one['sem_seg'].dtype for one in found] == [torch.uint8, torch.uint8, torch.int16, torch.int32]
    assert all(torch.equal(one['sem_seg'].long(), values) for one, values in zip(found, [maps[0], *maps], strict=True))
    assert sample['pred_sem_seg']['sem_seg'].dtype == torch.int64
