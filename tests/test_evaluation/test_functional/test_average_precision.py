import contextlib
import copy
import io
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmyolor_mtl.evaluation.functional import average_precision
from mmyolor_mtl.evaluation.functional.average_precision import figure_names


def scene(seed, images=4, crowds=True):
    """Random ground truth and detections that resemble it, boxes and masks (rectangles)."""
    rng = np.random.default_rng(seed)
    truth = {
        'images': [{'id': i, 'height': 200, 'width': 200} for i in range(1, images + 1)],
        'categories': [{'id': i, 'name': str(i)} for i in (2, 5, 9)],
        'annotations': [],
    }
    detections = []
    for img_id in range(1, images + 1):
        for _ in range(rng.integers(0, 6)):
            x, y = rng.integers(0, 100, 2).tolist()
            w, h = rng.choice([8, 40, 99], 2).tolist()
            common = dict(image_id=img_id, category_id=int(rng.choice([2, 5])))
            number = len(truth['annotations']) + 1
            crowd = int(crowds and rng.random() < 0.15)
            truth['annotations'].append(
                {**common, 'id': number, 'bbox': [x, y, w, h], 'area': w * h, 'iscrowd': crowd, **ring(x, y, w, h)}
            )
            for _ in range(rng.integers(0, 3)):
                box = (np.array([x, y, w, h]) + rng.normal(0, 3, 4)).clip(1).round(3).tolist()
                detections.append({**common, 'bbox': box, 'score': round(float(rng.random()), 5)})
    return truth, detections


def ring(x, y, w, h):
    return {'segmentation': [[x, y, x + w, y, x + w, y + h, x, y + h]]}


def official(truth, detections, **params):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(detections)), 'bbox')
        vars(evaluation.params).update(params)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_equals_the_official_summary(seed):
    truth, detections = scene(seed)
    if not detections:
        return
    before = copy.deepcopy((truth, detections))
    scores = average_precision(truth, detections, 'bbox')
    assert [*scores.figures] == figure_names()
    assert (truth, detections) == before  # the evaluators' notes are not left in them
    assert [*scores.figures.values()] == pytest.approx(official(truth, detections).stats.tolist(), abs=1e-12)
    faster = average_precision(truth, detections, 'bbox', backend='faster_coco_eval')
    assert faster.figures == pytest.approx(scores.figures, abs=1e-9)
    assert {k: pytest.approx(v, abs=1e-9, nan_ok=True) for k, v in faster.per_class.items()} == scores.per_class


def test_a_class_alone_has_its_own_figures():
    truth, detections = scene(3)
    scores = average_precision(truth, detections, 'bbox')
    assert list(scores.per_class) == [2, 5, 9] and np.isnan(scores.per_class[9]['AP'])
    for category in (2, 5):
        stats = official(truth, detections, catIds=[category]).stats[:6]
        expected = np.where(stats == -1, np.nan, stats).tolist()
        assert [*scores.per_class[category].values()] == pytest.approx(expected, abs=1e-12, nan_ok=True)
        alone = average_precision(truth, detections, 'bbox', cat_ids=[category])
        assert alone.figures['mAP'] == pytest.approx(expected[0])


def test_chosen_images_and_thresholds():
    truth, detections = scene(5)
    scores = average_precision(truth, detections, 'bbox', img_ids=[1, 3], iou_thrs=[0.5, 0.6], max_dets=(1, 2))
    assert 'mAP_75' not in scores.figures and {'AR@1', 'AR@2', 'AR_s@2'} <= scores.figures.keys()
    part = {**truth, 'images': [i for i in truth['images'] if i['id'] in (1, 3)]}
    part['annotations'] = [a for a in truth['annotations'] if a['image_id'] in (1, 3)]
    only = [d for d in detections if d['image_id'] in (1, 3)]
    again = average_precision(part, only, 'bbox', iou_thrs=[0.5, 0.6], max_dets=(1, 2))
    assert again.figures == scores.figures and again.figures['mAP'] > 0


@pytest.mark.parametrize('backend', ['pycocotools', 'faster_coco_eval'])
@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_nothing_found_is_zero_and_nothing_there_is_minus_one(backend, iou_type):
    truth, _ = scene(1, crowds=False)
    assert average_precision(truth, [], iou_type, backend=backend).figures['mAP'] == 0
    assert average_precision({**truth, 'annotations': []}, [], iou_type, backend=backend).figures['mAP'] == -1


def test_bad_arguments(monkeypatch):
    truth, detections = scene(0)
    with pytest.raises(ValueError, match="iou_type='keypoints' must be one of"):
        average_precision(truth, detections, 'keypoints')
    with pytest.raises(ValueError, match="backend='fast' must be one of"):
        average_precision(truth, detections, 'bbox', backend='fast')
    monkeypatch.setitem(sys.modules, 'faster_coco_eval', None)
    with pytest.raises(ImportError, match='pip install faster-coco-eval'):
        average_precision(truth, detections, 'bbox', backend='faster_coco_eval')
