import json
import logging
import pickle
import re

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData

from mmyolor_mtl.registry import METRICS
from mmyolor_mtl.structures import encode_mask

from ..helpers import META

SIZE = (60, 80)
# (class, x, y, w, h) of the objects of an image
OBJECTS = [(0, 5, 5, 20, 10), (2, 40, 20, 30, 30)]


def make_instances(objects, kind, scores=None, crowd_mask=None):
    masks = np.zeros((len(objects), *SIZE), np.uint8)
    for mask, (_, x, y, w, h) in zip(masks, objects, strict=True):
        mask[y : y + h, x : x + w] = 1
    fields = {
        'bboxes': torch.tensor([[x, y, x + w, y + h] for _, x, y, w, h in objects], dtype=torch.float32).reshape(-1, 4),
        'labels': torch.tensor([label for label, *_ in objects], dtype=torch.long),
    }
    if kind == 'polygons':
        rings = [[np.array([x, y, x + w, y, x + w, y + h, x, y + h], float)] for _, x, y, w, h in objects]
        fields['masks'] = PolygonMasks(rings, *SIZE)
    elif kind == 'bitmaps':
        fields['masks'] = BitmapMasks(masks, *SIZE)
    elif kind == 'tensor':
        fields['masks'] = torch.from_numpy(masks).bool()
    elif kind == 'runs':
        fields['masks'] = [encode_mask(mask) for mask in masks]
    if scores is not None:
        fields['scores'] = torch.tensor(scores, dtype=torch.float32)
    return InstanceData(**fields)


def make_sample(
    pred=OBJECTS, gt=OBJECTS, *, img_id=1, tasks=('det', 'ins'), crowds=(), masks='tensor', gt_masks='polygons'
):
    sample = DetDataSample(metainfo={'img_id': img_id, 'ori_shape': SIZE, 'img_path': f'{img_id}.jpg'})
    if tasks is not None:
        sample.set_metainfo({'labelled_tasks': tasks})
    if pred is not None:
        sample.pred_instances = make_instances(pred, masks, np.linspace(0.9, 0.5, len(pred)).tolist())
    if gt is not None:
        sample.gt_instances = make_instances(gt, gt_masks)
        sample.ignored_instances = make_instances(list(crowds), gt_masks)
    return sample.to_dict()


def make_metric(meta=META, **kwargs):
    metric = METRICS.build(dict(type='mmyolor_mtl.DetectionMetric', **{'metric': ['bbox', 'segm'], **kwargs}))
    metric.dataset_meta = meta
    return metric


def run(*samples, **kwargs):
    metric = make_metric(**kwargs)
    metric.process(None, list(samples))
    return metric.evaluate(len(samples))


@pytest.fixture
def warnings(monkeypatch):
    lines = []

    def keep(text, logger=None, level=logging.INFO):
        lines.append((level, text))

    for module in ('common', 'detection_metric'):
        monkeypatch.setattr(f'mmyolor_mtl.evaluation.metrics.{module}.print_log', keep)
    return lines


@pytest.mark.parametrize('masks', ['tensor', 'runs'])
@pytest.mark.parametrize('gt_masks', ['polygons', 'bitmaps', 'tensor', 'runs'])
def test_perfect(masks, gt_masks):
    figures = run(make_sample(masks=masks, gt_masks=gt_masks))
    assert list(figures)[:2] == ['coco/bbox_mAP', 'coco/bbox_mAP_50']  # what save_best='auto' takes
    assert (figures['coco/bbox_mAP'], figures['coco/segm_mAP'], figures['coco/segm_mAP_s']) == pytest.approx((1, 1, 1))
    assert figures['coco/segm_mAP_l'] == -1 and len(figures) == 12


def test_figures_are_not_rounded():
    objects = [(0, 5, 5, 20, 10), (0, 40, 20, 30, 30), (0, 5, 30, 9, 9)]
    assert run(make_sample(pred=objects[:1], gt=objects))['coco/bbox_mAP'] == pytest.approx(34 / 101, abs=1e-9)


def test_partly_labelled_sets(warnings):
    """A model that is right on labelled images must not lose by what it sees on others."""
    samples = [
        make_sample(img_id=1),
        make_sample(gt=[], img_id=2, tasks=('sem', 'cap')),
        make_sample(img_id=3, tasks=('det',), gt_masks=None),
    ]
    figures = run(*samples)
    assert (figures['coco/bbox_mAP'], figures['coco/segm_mAP']) == pytest.approx((1, 1))
    # Labelled and empty: the same predictions are false.
    samples[1]['labelled_tasks'] = ('det',)
    figures = run(*samples)
    assert figures['coco/bbox_mAP'] < 0.9 and figures['coco/segm_mAP'] == pytest.approx(1)
    assert not warnings
    assert set(run(samples[1])) == {f'coco/bbox_{n}' for n in ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')}
    assert "labels of the task 'ins'" in warnings[0][1]
    assert run(make_sample(tasks=('cap',))) == {}


def test_crowds_excuse():
    crowd = (1, 0, 0, 80, 60)
    guess = [*OBJECTS, (1, 30, 0, 10, 10)]
    assert run(make_sample(pred=guess, gt=[*OBJECTS, (1, 70, 50, 5, 5)]))['coco/bbox_mAP'] == pytest.approx(2 / 3)
    with_crowd = make_sample(pred=[*guess, (1, 70, 50, 5, 5)], gt=[*OBJECTS, (1, 70, 50, 5, 5)], crowds=[crowd])
    figures = run(with_crowd)
    assert (figures['coco/bbox_mAP'], figures['coco/segm_mAP']) == pytest.approx((1, 1))


def write_truth(path, img_ids=(1, 2), names=('cone', 'ball', 'cube'), objects=OBJECTS):
    """A COCO file whose categories stand in another order than the model's classes."""
    ids = {name: 10 + i for i, name in enumerate(names)}
    annotations = [
        {'id': number * 10 + i, 'image_id': number, 'category_id': ids[META['classes'][label]], 'bbox': [x, y, w, h],
         'area': w * h, 'iscrowd': 0, 'segmentation': [[x, y, x + w, y, x + w, y + h, x, y + h]]}
        for number in img_ids for i, (label, x, y, w, h) in enumerate(objects) if META['classes'][label] in ids
    ]  # fmt: skip
    images = [{'id': i, 'height': SIZE[0], 'width': SIZE[1], 'file_name': f'{i}.jpg'} for i in img_ids]
    categories = [{'id': i, 'name': name} for name, i in ids.items()]
    path.write_text(json.dumps({'images': images, 'annotations': annotations, 'categories': categories}))
    return str(path)


def test_classes_are_found_by_name(tmp_path, warnings):
    samples = [make_sample(gt=None, img_id=i) for i in (1, 2)]
    assert run(*samples, ann_file=write_truth(tmp_path / 'a.json'))['coco/bbox_mAP'] == pytest.approx(1)
    assert not warnings
    fewer = write_truth(tmp_path / 'b.json', names=('cone',))
    assert run(*samples, ann_file=fewer)['coco/bbox_mAP'] == pytest.approx(1)
    assert [re.search('has no category (.*):', text)[1] for _, text in warnings] == ["'ball', 'cube'"]
    other = write_truth(tmp_path / 'c.json', names=('dog',))
    with pytest.raises(ValueError, match="none of the model. Its categories are 'dog'"):
        run(*samples, ann_file=other)


def test_images_of_the_file_and_of_the_loop(tmp_path, warnings):
    ann_file = write_truth(tmp_path / 'a.json', img_ids=(1, 2, 3))
    unlisted = make_sample(gt=None, img_id=7)
    narrowed = make_sample(gt=None, img_id=2, tasks=('sem',))
    plain = make_sample(gt=None, img_id=1, tasks=None)  # a sample of mmdet's own pipeline
    assert run(plain, narrowed, unlisted, ann_file=ann_file)['coco/bbox_mAP'] == pytest.approx(1)
    ((level, text),) = warnings
    assert level == logging.WARNING and '1 image (3) of ann_file' in text


def test_ranks_merge_as_one():
    samples = [make_sample(pred=OBJECTS[: i % 3], img_id=i) for i in range(3)]
    expected = run(*samples)
    first, second = make_metric(), make_metric()
    first.process(None, [samples[0], samples[2]])
    second.process(None, [samples[1], samples[0]])  # the sampler filled up with image 0
    merged = [result for pair in zip(first.results, second.results, strict=True) for result in pair]
    merged = pickle.loads(pickle.dumps(merged))
    assert {f'coco/{k}': v for k, v in make_metric().compute_metrics(merged).items()} == expected


@pytest.mark.parametrize('masks', ['tensor', 'runs', None])
def test_result_files_are_coco_s(tmp_path, masks):
    sample = make_sample(masks=masks, tasks=('det',))
    sample['pred_instances']['bboxes'][0] += torch.tensor([0, 0, 1 / 3, 0])
    sample['pred_instances']['scores'][0] = 1 / 3
    unlabelled = make_sample(img_id=2, tasks=('cap',), masks=masks)
    metric = make_metric(metric='bbox', outfile_prefix=str(tmp_path / 'new/results'))
    metric.process(None, [sample, unlabelled])
    metric.evaluate(2)
    boxes = json.loads((tmp_path / 'new/results.bbox.json').read_text())
    assert boxes[0] == {'image_id': 1, 'category_id': 1, 'score': 0.33333, 'bbox': [5.0, 5.0, 20.333, 10.0]}
    assert [one['image_id'] for one in boxes] == [1, 1, 2, 2]
    assert (tmp_path / 'new/results.segm.json').is_file() == (masks is not None)
    if masks:
        segments = json.loads((tmp_path / 'new/results.segm.json').read_text())
        assert len(segments) == 4 and segments[0].keys() == {'image_id', 'category_id', 'score', 'segmentation'}
        assert segments[1]['segmentation']['size'] == [*SIZE] and isinstance(segments[1]['segmentation']['counts'], str)
    truth = json.loads((tmp_path / 'new/results.gt.json').read_text())
    assert [category['id'] for category in truth['categories']] == [1, 2, 5]
    assert len(truth['annotations']) == 2


def test_files_hold_what_the_truth_lists(tmp_path):
    ann_file = write_truth(tmp_path / 'a.json', names=('ball',))
    samples = [make_sample(gt=None, img_id=i) for i in (1, 2, 7)]
    run(*samples, ann_file=ann_file, outfile_prefix=str(tmp_path / 'results'))
    boxes = json.loads((tmp_path / 'results.bbox.json').read_text())
    assert [(one['image_id'], one['category_id']) for one in boxes] == [(1, 10), (2, 10)]
    assert not (tmp_path / 'results.gt.json').exists()


def test_class_table_only_on_request(warnings):
    metric = make_metric(per_class=True)
    metric.process(None, [make_sample(pred=OBJECTS[:1])])
    metric.evaluate(1)
    assert set(metric.class_tables) == {'coco/bbox', 'coco/segm'}
    ball, cube, cone = metric.class_tables['coco/segm']
    assert ball == pytest.approx(
        {'class': 'ball', 'AP': 1, 'AP50': 1, 'AP75': 1, 'APs': 1, 'APm': np.nan, 'APl': np.nan}, nan_ok=True
    )
    assert np.isnan(cube['AP']) and cone['AP'] == 0
    assert any('masks, every class' in text and 'ball  | 1.000 ' in text for _, text in warnings)
    metric = make_metric()
    metric.process(None, [make_sample()])
    metric.evaluate(1)
    assert metric.class_tables == {}


def test_chosen_figures():
    figures = run(make_sample(), metric='bbox', metric_items=['mAP_50', 'AR@1'], prefix='val')
    assert set(figures) == {'val/bbox_mAP_50', 'val/bbox_AR@1'}
    assert set(run(make_sample(), metric='bbox', iou_thrs=0.6)) == {
        f'coco/bbox_{name}' for name in ('mAP', 'mAP_s', 'mAP_m', 'mAP_l')
    }
    with pytest.raises(ValueError, match=r"metric_items \['mAP_33'\] are unknown; there are mAP, mAP_50"):
        make_metric(metric_items=['mAP_33'])


@pytest.mark.parametrize(
    ('sample', 'message'),
    [
        (make_sample(pred=None), 'image 1 has no pred_instances: the model predicts no objects'),
        (
            make_sample(masks=None),
            "image 1 has no masks in pred_instances: the model predicts none, write metric='bbox'",
        ),
        (make_sample(gt=None), 'image 1 has no gt_instances: give an ann_file'),
        (make_sample(gt_masks=None), 'image 1 has no masks in gt_instances'),
    ],
)
def test_bad_sample(sample, message):
    with pytest.raises(ValueError, match=message):
        make_metric().process(None, [sample])


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="metric='proposal' must come from .*mmdet's CocoMetric"):
        make_metric(metric='proposal')
    with pytest.raises(ValueError, match="backend='x' must be one of"):
        make_metric(backend='x')
    with pytest.raises(FileNotFoundError, match='none.json'):
        make_metric(ann_file=str(tmp_path / 'none.json'))
    for content in ('{', '[]', '{"images": [{}]}', '{"images": []}'):
        (tmp_path / 'bad.json').write_text(content)
        with pytest.raises(ValueError, match='bad.json is no COCO instances JSON'):
            make_metric(ann_file=str(tmp_path / 'bad.json'))
