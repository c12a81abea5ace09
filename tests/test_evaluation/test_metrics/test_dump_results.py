"""Predictions of ``test.py --out`` and the tools of mmdet that read them."""

import pickle

import pytest
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
