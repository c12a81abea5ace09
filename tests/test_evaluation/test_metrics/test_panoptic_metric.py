import json

import cv2
import numpy as np
import pytest
import torch
from mmdet.evaluation import INSTANCE_OFFSET
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from pycocotools import mask as mask_utils

from mmyolor_mtl.datasets.shapes import SHAPES_METAINFO, write_shapes
from mmyolor_mtl.registry import METRICS

from ..helpers import META, VOID

PARTS = tuple(f'pan/{name}{part}' for part in ('', '_th', '_st') for name in ('PQ', 'SQ', 'RQ'))
# Ground truth of one image, 4 x 8: two balls (contiguous 0) and a cone (2) on grass (3), sand (5) and fog (6).
GROUND = np.array([[3, 3, 3, 3, 6, 6, 5, 5]] * 4)
OBJECTS = [(0, (slice(0, 2), slice(0, 2))), (0, (slice(2, 4), slice(0, 2))), (2, (slice(0, 2), slice(6, 8)))]


def make_metric(meta=META, **kwargs):
    metric = METRICS.build(dict(type='mmyolor_mtl.PanopticMetric', **kwargs))
    metric.dataset_meta = meta
    return metric


def run(*samples, **kwargs):
    metric = make_metric(**kwargs)
    metric.process(None, list(samples))
    return metric.evaluate(len(samples))


def perfect_map():
    pred = GROUND.copy()
    for number, (label, place) in enumerate(OBJECTS, start=1):
        pred[place] = label + number * INSTANCE_OFFSET
    return pred


def make_sample(pred, img_id=1, tasks=('ins', 'sem'), crowd=None, objects=OBJECTS):
    sample = DetDataSample(metainfo={'img_id': img_id, 'labelled_tasks': tasks})
    if pred is not None:
        sample.pred_panoptic_seg = PixelData(sem_seg=torch.as_tensor(pred)[None])
    sample.gt_sem_seg = PixelData(sem_seg=torch.as_tensor(GROUND, dtype=torch.uint8)[None])
    sample.gt_instances = make_instances(objects)
    sample.ignored_instances = make_instances([crowd] if crowd else [])
    return sample.to_dict()


def make_instances(objects):
    masks = np.zeros((len(objects), *GROUND.shape), np.uint8)
    for mask, (_, place) in zip(masks, objects, strict=True):
        mask[place] = 1
    return InstanceData(
        labels=torch.tensor([label for label, _ in objects], dtype=torch.long),
        masks=BitmapMasks(masks, *GROUND.shape),
    )


def test_perfect():
    assert run(make_sample(perfect_map())) == dict.fromkeys(PARTS, 1.0)


def test_stuff_merges_through_panoptic_ids():
    pred = perfect_map()
    pred[pred == 3] = np.where(np.arange((pred == 3).sum()) % 2, 3, 4)  # grass and lawn are one category
    assert run(make_sample(pred)) == dict.fromkeys(PARTS, 1.0)


def test_fog_is_void():
    pred = perfect_map()
    pred[:, 4:6] = VOID  # nothing predicted on void
    assert run(make_sample(pred))['pan/PQ'] == 1
    pred[:, 4:6] = 1 + 9 * INSTANCE_OFFSET  # a cube imagined on void is no mistake
    assert run(make_sample(pred))['pan/PQ'] == 1


def test_by_hand():
    pred = perfect_map()
    pred[OBJECTS[1][1]] = VOID  # the second ball is missed
    pred[OBJECTS[2][1]] = 1 + 7 * INSTANCE_OFFSET  # the cone is taken for a cube
    figures = run(make_sample(pred))
    # balls: TP 1, FN 1 -> 2/3; cone: FN -> 0; cube: FP -> 0; grass and sand 1.
    assert figures['pan/PQ_th'] == pytest.approx((2 / 3) / 3)
    assert figures['pan/PQ_st'] == 1
    assert figures['pan/PQ'] == pytest.approx((2 / 3 + 2) / 5)


def test_one_id_for_two_things_is_one_segment():
    pred = perfect_map()
    pred[OBJECTS[1][1]] = pred[OBJECTS[0][1]]
    # Each true ball covers half of the segment, which matches neither.
    assert run(make_sample(pred))['pan/PQ_th'] == pytest.approx((0 + 1) / 2)


def test_crowd_excuses():
    crowd = (1, (slice(2, 4), slice(2, 4)))
    pred = perfect_map()
    assert run(make_sample(pred, crowd=crowd))['pan/PQ_th'] == 1  # a crowd is never missed
    pred[crowd[1]] = 1 + 5 * INSTANCE_OFFSET
    assert run(make_sample(pred, crowd=crowd))['pan/PQ_th'] == 1
    assert run(make_sample(pred))['pan/PQ_th'] == pytest.approx(2 / 3)  # without the crowd: a false cube


def test_smaller_object_lies_in_front():
    large = (1, (slice(0, 4), slice(0, 2)))
    pred = perfect_map()
    objects = [OBJECTS[0], large, OBJECTS[2]]
    pred[large[1]] = 1 + 8 * INSTANCE_OFFSET
    pred[OBJECTS[0][1]] = 0 + 1 * INSTANCE_OFFSET
    assert run(make_sample(pred, objects=objects))['pan/SQ_th'] == 1


def test_images_without_labels_are_skipped(monkeypatch):
    warnings = []
    monkeypatch.setattr('mmyolor_mtl.evaluation.metrics.common.print_log', lambda text, **_: warnings.append(text))
    wrong = make_sample(np.full_like(GROUND, VOID), img_id=2, tasks=('ins',))
    assert run(make_sample(perfect_map()), wrong)['pan/PQ'] == 1
    assert not warnings
    assert run(wrong) == {}
    assert 'PanopticMetric' in warnings[0]


def test_ranks_merge_as_one():
    rng = np.random.default_rng(0)
    samples = []
    for i in range(3):
        pred = perfect_map()
        pred[rng.random(pred.shape) < 0.3] = VOID
        samples.append(make_sample(pred, img_id=i))
    expected = run(*samples)
    first, second = make_metric(), make_metric()
    first.process(None, [samples[0], samples[2]])
    second.process(None, [samples[1], samples[0]])
    merged = [result for pair in zip(first.results, second.results, strict=True) for result in pair]
    figures = make_metric().compute_metrics(merged)
    assert {f'pan/{k}': pytest.approx(v) for k, v in figures.items()} == expected


@pytest.mark.parametrize(
    ('sample', 'message'),
    [
        (make_sample(None), 'image 1 has no pred_panoptic_seg'),
        (make_sample(perfect_map()[:3]), r'image 1: the prediction is \(3, 8\), the ground truth \(4, 8\)'),
        ({'img_id': 1, 'labelled_tasks': ('ins', 'sem')}, 'image 1 has no gt_sem_seg'),
    ],
)
def test_bad_sample(sample, message):
    with pytest.raises(ValueError, match=message):
        make_metric().process(None, [sample])


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp('shapes') / 'data'
    write_shapes(root, train=1, val=6, size=128, seed=5)
    return root


def read_sample(root, info):
    """A sample from the instance and semantic files, with the prediction that the panoptic files hold."""
    meta, annotations = SHAPES_METAINFO, root / 'annotations'
    instances = json.loads((annotations / 'instances_val2017.json').read_text())
    labels = {category: label for label, category in enumerate((*meta['thing_ids'], *meta['stuff_ids']))}
    shape = (info['height'], info['width'])

    def pack(crowd):
        chosen = [a for a in instances['annotations'] if a['image_id'] == info['id'] and a['iscrowd'] == crowd]
        masks = np.zeros((len(chosen), *shape), np.uint8)
        for mask, annotation in zip(masks, chosen, strict=True):
            coded = annotation['segmentation']
            if isinstance(coded, list):
                coded = mask_utils.merge(mask_utils.frPyObjects(coded, *shape))
            elif isinstance(coded['counts'], list):
                coded = mask_utils.frPyObjects(coded, *shape)
            mask[:] = mask_utils.decode(coded)
        ids = torch.tensor([labels[a['category_id']] for a in chosen], dtype=torch.long)
        return InstanceData(labels=ids, masks=BitmapMasks(masks, *shape))

    panoptic = json.loads((annotations / 'panoptic_val2017.json').read_text())
    entry = next(a for a in panoptic['annotations'] if a['image_id'] == info['id'])
    bgr = cv2.imread(str(annotations / 'panoptic_val2017' / entry['file_name'])).astype(np.int64)
    ids = bgr @ np.array([65536, 256, 1])
    pred = np.full(shape, len(labels))
    for number, segment in enumerate(entry['segments_info'], start=1):
        label = labels[segment['category_id']]
        pred[ids == segment['id']] = label + number * INSTANCE_OFFSET * (label < len(meta['classes']))

    raw = cv2.imread(str(root / 'stuffthingmaps/val2017' / info['file_name'].replace('.jpg', '.png')), -1)
    contiguous = np.full(256, 255, np.uint8)
    for category, label in labels.items():
        contiguous[category - 1] = label
    sample = DetDataSample(metainfo={'img_id': info['id'], 'labelled_tasks': ('det', 'ins', 'sem')})
    sample.gt_instances, sample.ignored_instances = pack(0), pack(1)
    sample.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(contiguous[raw])[None])
    sample.pred_panoptic_seg = PixelData(sem_seg=torch.from_numpy(pred)[None])
    return sample.to_dict()


def test_files_and_samples_agree(shapes):
    infos = json.loads((shapes / 'annotations' / 'instances_val2017.json').read_text())['images']
    samples = [read_sample(shapes, info) for info in infos]
    ann_file = str(shapes / 'annotations' / 'panoptic_val2017.json')
    files = {'ann_file': ann_file, 'seg_prefix': str(shapes / 'annotations' / 'panoptic_val2017')}
    assert run(*samples, meta=SHAPES_METAINFO, **files) == dict.fromkeys(PARTS, 1.0)
    assert run(*samples, meta=SHAPES_METAINFO) == dict.fromkeys(PARTS, 1.0)
    # The same damage costs the same.
    for sample in samples:
        sample['pred_panoptic_seg']['sem_seg'][:, 20:90, 30:80] = len(SHAPES_METAINFO['classes'])
    from_files = run(*samples, meta=SHAPES_METAINFO, **files)
    assert from_files == pytest.approx(run(*samples, meta=SHAPES_METAINFO))
    assert from_files['pan/PQ'] < 0.9
    # Images that the files lack are skipped.
    assert run(*samples, {**samples[0], 'img_id': -1}, meta=SHAPES_METAINFO, **files) == from_files


def test_segments_of_unknown_categories_are_void(tmp_path):
    ids = np.array([[1, 1, 2, 2]], np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), np.stack([np.zeros_like(ids), np.zeros_like(ids), ids], axis=-1))
    segments = [{'id': 1, 'category_id': 1, 'iscrowd': 0}, {'id': 2, 'category_id': 99, 'iscrowd': 0}]
    ann_file = tmp_path / 'panoptic.json'
    ann_file.write_text(json.dumps({'annotations': [{'image_id': 1, 'file_name': 'a.png', 'segments_info': segments}]}))
    pred = torch.tensor([[[1000, 1000, 3, 3]]])  # grass on a segment of a category that is not evaluated
    sample = {'img_id': 1, 'pred_panoptic_seg': {'sem_seg': pred}}
    assert run(sample, ann_file=str(ann_file), seg_prefix=str(tmp_path)) == {
        'pan/PQ': 1, 'pan/SQ': 1, 'pan/RQ': 1, 'pan/PQ_th': 1, 'pan/SQ_th': 1, 'pan/RQ_th': 1,
    }  # fmt: skip


def test_class_table_only_on_request():
    metric = make_metric(per_class=True)
    pred = perfect_map()
    pred[OBJECTS[2][1]] = VOID
    metric.process(None, [make_sample(pred)])
    metric.evaluate(1)
    names = {row['class']: row['PQ'] for row in metric.class_tables['pan']}
    assert names == {'ball': 1, 'cone': 0, 'sand': 1, 'grass/lawn': 1}  # lawn and grass are one category
    metric = make_metric()
    metric.process(None, [make_sample(pred)])
    metric.evaluate(1)
    assert metric.class_tables == {}


def test_written_files(tmp_path):
    sample = make_sample(perfect_map(), img_id=3)
    unlabelled = {**make_sample(perfect_map(), img_id=4, tasks=('cap',)), 'img_path': 'some/where/photo.jpg'}
    run(sample, unlabelled, outfile_prefix=str(tmp_path / 'new/results'))
    content = json.loads((tmp_path / 'new/results.panoptic.json').read_text())
    assert [ann['file_name'] for ann in content['annotations']] == ['3.png', 'photo.png']
    assert content['images'][0] == {'id': 3, 'height': 4, 'width': 8, 'file_name': '3.png'}
    assert content['categories'][0] == {'id': 1, 'name': 'ball', 'isthing': 1}
    assert {'id': 20, 'name': 'grass/lawn', 'isthing': 0} in content['categories']
    segments = content['annotations'][0]['segments_info']
    assert sorted((s['category_id'], s['area'], s['bbox']) for s in segments) == [
        (1, 4, [0, 0, 2, 2]), (1, 4, [0, 2, 2, 2]), (5, 4, [6, 0, 2, 2]), (12, 4, [6, 2, 2, 2]), (20, 8, [2, 0, 2, 4])
    ]  # fmt: skip
    files = {
        'ann_file': str(tmp_path / 'new/results.panoptic.json'),
        'seg_prefix': str(tmp_path / 'new/results.panoptic'),
    }
    assert run(sample, **files) == dict.fromkeys(PARTS, 1.0)
    clash = {**sample, 'img_id': 9, 'img_path': 'photo.jpg'}
    with pytest.raises(ValueError, match=r'images 4 and 9 both wrote photo.png'):
        run(unlabelled, clash, outfile_prefix=str(tmp_path / 'twice'))


def test_bad_files(tmp_path):
    ann_file, good = (
        tmp_path / 'panoptic.json',
        {'ann_file': str(tmp_path / 'panoptic.json'), 'seg_prefix': str(tmp_path)},
    )
    with pytest.raises(FileNotFoundError, match='panoptic annotation file'):
        make_metric(**good)
    with pytest.raises(ValueError, match='give both or neither'):
        make_metric(ann_file='x.json')
    ann_file.write_text('{')
    with pytest.raises(ValueError, match='panoptic.json is not valid JSON'):
        make_metric(**good)
    ann_file.write_text('{"annotations": [{"id": 1}]}')
    with pytest.raises(ValueError, match='no COCO panoptic file'):
        make_metric(**good)
    with pytest.raises(FileNotFoundError, match='with the panoptic maps'):
        make_metric(ann_file=str(ann_file), seg_prefix=str(tmp_path / 'none'))
    ann_file.write_text(json.dumps({'annotations': [{'image_id': 1, 'file_name': 'a.png', 'segments_info': []}]}))
    metric = make_metric(**good)
    sample = {'img_id': 1, 'pred_panoptic_seg': {'sem_seg': torch.zeros(1, 2, 2)}}
    with pytest.raises(FileNotFoundError, match='a.png of image 1'):
        metric.process(None, [sample])
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((2, 2, 3), 1, np.uint8))
    with pytest.raises(ValueError, match='segment ids'):
        metric.process(None, [sample])
