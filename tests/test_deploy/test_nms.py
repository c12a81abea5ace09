"""Choosing among boxes: equal to mmcv's NMS and to the detection head."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import batched_nms

from mmyolor_mtl.deploy.nms import best_first, greedy_nms, select_detections
from mmyolor_mtl.models.heads import YOLORDetectionHead
from mmyolor_mtl.models.heads.detection_head import ONE_TO_ONE_TEST_CFG, TEST_CFG


def candidates(seed: int, count: int, classes: int = 5):
    """Crowded boxes, among them empty ones and twins; no two scores are equal."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-20, 200, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 60, (count, 2))], 1).astype(np.float32)
    boxes[rng.random(count) < 0.1] = boxes[0]
    boxes[rng.random(count) < 0.05, 2:] = 0
    scores = (rng.permutation(count) + 1).astype(np.float32) / (count + 1)
    return boxes, scores, rng.integers(0, classes, count)


@given(st.integers(0, 10_000), st.integers(1, 400), st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]), st.booleans())
@settings(max_examples=80, deadline=None)
def test_equals_mmcv(seed, count, threshold, agnostic):
    boxes, scores, labels = candidates(seed, count)
    cfg = dict(type='nms', iou_threshold=threshold, class_agnostic=agnostic)
    _, expected = batched_nms(*(torch.from_numpy(x) for x in (boxes, scores, labels)), cfg)
    order = best_first(scores, count)
    groups = np.zeros_like(labels) if agnostic else labels
    kept = order[greedy_nms(boxes[order], groups[order], threshold, count)]
    np.testing.assert_array_equal(kept, expected.numpy())
    few = order[greedy_nms(boxes[order], groups[order], threshold, 7)]
    np.testing.assert_array_equal(few, kept[:7])


def test_equals_mmcv_where_it_goes_class_by_class():
    boxes, scores, labels = candidates(0, 12_000)
    expected = batched_nms(*(torch.from_numpy(x) for x in (boxes, scores, labels)), dict(type='nms', iou_threshold=0.6))
    order = best_first(scores, len(scores))
    kept = order[greedy_nms(boxes[order], labels[order], 0.6, 300)]
    np.testing.assert_array_equal(kept, expected[1].numpy()[:300])


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 70))
def test_best_first_is_a_stable_sort_cut_off(values, most):
    scores = np.array(values, np.float32)
    places = best_first(scores, most)
    np.testing.assert_array_equal(scores[places], np.sort(scores)[::-1][:most])
    assert len(set(places.tolist())) == len(places) == min(most, len(values))
    equal = scores[places][1:] == scores[places][:-1]
    assert (np.diff(places)[equal] > 0).all()


@pytest.mark.parametrize('test_cfg', [TEST_CFG, {**TEST_CFG, 'score_thr': 0.4, 'nms_pre': 150}, ONE_TO_ONE_TEST_CFG])
@pytest.mark.parametrize('most', [5, 300])
def test_equals_the_head(test_cfg, most):
    rng = np.random.default_rng(most)
    boxes = candidates(1, 200)[0]
    scores = rng.permutation(800).reshape(200, 4).astype(np.float32) / 900
    cfg = {**test_cfg, 'max_per_img': most}
    head = YOLORDetectionHead(num_classes=4, in_channels=(8, 8, 8), one_to_one=True, test_cfg=cfg)
    expected = head._select(torch.from_numpy(boxes), torch.from_numpy(scores))
    rules = {key: cfg[key] for key in ('score_thr', 'nms_pre', 'max_per_img')}
    threshold = None if cfg['nms'] is None else cfg['nms']['iou_threshold']
    found = select_detections(boxes, scores, {**rules, 'iou_threshold': threshold, 'class_agnostic': False})
    for name in ('scores', 'labels', 'anchors'):
        np.testing.assert_array_equal(getattr(found, name), expected[name].numpy())
    np.testing.assert_array_equal(found.boxes, expected.bboxes.numpy())


def test_nothing_above_the_threshold():
    rules = dict(score_thr=0.5, nms_pre=10, max_per_img=10, iou_threshold=0.5, class_agnostic=False)
    found = select_detections(np.zeros((3, 4), np.float32), np.full((3, 2), 0.5, np.float32), rules)
    assert [part.shape for part in found] == [(0, 4), (0,), (0,), (0,)]
