import json

import cv2
import mmdet.evaluation
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmyolor_mtl.evaluation.metrics import PanopticMetric
from mmyolor_mtl.structures import INSTANCE_OFFSET, MTLResult, encode_mask
from mmyolor_mtl.visualization import MTLLocalVisualizer

META = dict(classes=('cat', 'dog'), stuff_classes=('grass', 'sky'), extra_classes=('other',))
IDS = dict(META, thing_ids=(17, 18), stuff_ids=(124, 157), panoptic_stuff={124: 193, 157: 187})


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
    assert result.to_dict() == {'image': 'name', 'height': 6, 'width': 8}
    assert result.tasks == () and not result.detected and result.summary() == ''
    sample.set_field('Two animals', 'pred_caption')
    result = MTLResult.from_sample(sample, META)
    assert result.tasks == ('cap',) and result.summary() == '"Two animals"' and 'objects' not in result.to_dict()


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


def test_reading_back_gives_the_same(sample, tmp_path):
    result = MTLResult.from_sample(sample, META)
    result.save(tmp_path / 'x.json')
    for meta in (META, None):
        back = MTLResult.load(tmp_path / 'x.json', meta)
        assert back.to_dict() == result.to_dict() and back.tasks == result.tasks
        assert np.array_equal(back.sem_seg, result.sem_seg) and back.sem_seg.dtype == result.sem_seg.dtype
        assert back.sem_names == result.sem_names if meta else back.sem_names == ['cat', 'dog', 'grass', 'sky', 'other']
        assert back.segments == result.segments and np.array_equal(back.boxes, result.boxes)
    assert np.array_equal(MTLResult.load(tmp_path / 'x.json', META).panoptic, result.panoptic)


def test_void_pixels_stay_void_when_read_back(sample):
    sample.pred_panoptic_seg.sem_seg[0, 0, :3] = 4  # the number of evaluated classes
    result = MTLResult.from_sample(sample, META)
    assert [segment.class_name for segment in result.segments] == ['grass', 'sky', 'dog', 'cat']
    assert np.array_equal(MTLResult.from_dict(result.to_dict(), META).panoptic, result.panoptic)


@given(
    ids=st.integers(1, 6).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 4), min_size=n, max_size=n), min_size=1, max_size=6)
    ),
    scores=st.lists(st.floats(0, 1, width=32), max_size=4),
    tasks=st.sets(st.sampled_from(['det', 'ins', 'sem', 'cap'])),
)
@settings(max_examples=40, deadline=None)
def test_any_result_survives_json(ids, scores, tasks):
    ids = np.array(ids)
    result = MTLResult('x.jpg', *ids.shape, detected=bool(tasks & {'det', 'ins'}), dataset_meta=META)
    if result.detected:
        count = len(scores)
        result.boxes = np.arange(4 * count, dtype=np.float32).reshape(-1, 4) / 8
        result.scores, result.labels = np.array(scores, np.float32), np.arange(count) % 2
        result.class_names = [META['classes'][label] for label in result.labels]
    if 'ins' in tasks:
        result.masks = [encode_mask(ids == i) for i in range(len(scores))]
    if 'sem' in tasks:
        result.sem_seg, result.sem_names = ids.astype(np.uint8), ['cat', 'dog', 'grass', 'sky', 'other']
    if 'cap' in tasks:
        result.caption, result.caption_score = 'Ein "schönes" Bild\n', -0.5
    written = json.dumps(result.to_dict(), allow_nan=False)
    back = MTLResult.from_dict(json.loads(written), META)
    assert json.dumps(back.to_dict(), allow_nan=False) == written
    assert 'sem' not in tasks or np.array_equal(back.sem_seg, ids)


@pytest.mark.parametrize(
    'content', [{}, {'image': 'x', 'height': 3}, {'image': 'x', 'height': 3, 'width': 3, 'objects': [{}]}, []]
)
def test_other_json_is_refused(tmp_path, content):
    (tmp_path / 'x.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'x\.json: this is no result as MTLResult\.to_dict writes it'):
        MTLResult.load(tmp_path / 'x.json')


def test_errors_are_read_back(tmp_path):
    MTLResult('x.jpg', error='cannot decode x.jpg').save(tmp_path / 'x.json')
    back = MTLResult.load(tmp_path / 'x.json')
    assert back.error == 'cannot decode x.jpg' and back.tasks == ()
    for use in (lambda: back.to_coco(1), lambda: back.plot(np.zeros((4, 4, 3), np.uint8))):
        with pytest.raises(ValueError, match=r'no results for x\.jpg: cannot decode'):
            use()


def test_coco_entries(sample):
    entries = MTLResult.from_sample(sample, IDS, image='dir/7.jpg', score_thr=0.1).to_coco(7)
    assert entries['bbox'] == [
        {'image_id': 7, 'category_id': 17, 'bbox': [5, 4, 3, 2], 'score': 0.75},
        {'image_id': 7, 'category_id': 18, 'bbox': [1, 1, 3, 2], 'score': 0.5},
    ]
    assert [mask_utils.area(e['segmentation']) for e in entries['segm']] == [6, 6]
    assert [(e['category_id'], int(mask_utils.area(e['segmentation']))) for e in entries['stuff']] == [
        (124, 31),
        (157, 16),
        (183, 1),
    ]
    assert entries['caption'] == [{'image_id': 7, 'caption': 'Two animals'}]
    panoptic = entries['panoptic']
    assert (panoptic['image_id'], panoptic['file_name']) == (7, '7.png')
    assert sorted((s['category_id'], s['area']) for s in panoptic['segments_info']) == [
        (17, 6),
        (18, 6),
        (187, 13),
        (193, 22),
    ]


def test_official_tools_take_the_entries(sample, tmp_path):
    """Predictions that are the ground truth score 1 in pycocotools and in this project's panoptic metric."""
    result = MTLResult.from_sample(sample, IDS, score_thr=0.1)
    entries = result.to_coco(7)
    truth = COCO()
    truth.dataset = {
        'images': [{'id': 7, 'width': 8, 'height': 6}],
        'categories': [{'id': 17, 'name': 'cat'}, {'id': 18, 'name': 'dog'}],
        'annotations': [
            {'id': i, 'iscrowd': 0, 'area': 6, **b, 'segmentation': m['segmentation']}
            for i, (b, m) in enumerate(zip(entries['bbox'], entries['segm'], strict=True), start=1)
        ],
    }
    truth.createIndex()
    for kind in ('bbox', 'segm'):
        evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(entries[kind]))), kind)
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1)
    entry = entries['panoptic']
    ids = result.panoptic_png().astype(int) @ [1, 256, 65536]
    areas = {segment['id']: segment['area'] for segment in entry['segments_info']}
    assert {number: int((ids == number).sum()) for number in areas} == areas and (ids == 0).sum() == 1
    cv2.imwrite(str(tmp_path / entry['file_name']), result.panoptic_png()[..., ::-1])
    (tmp_path / 'panoptic.json').write_text(json.dumps({'annotations': [entry]}))
    metric = PanopticMetric(ann_file=str(tmp_path / 'panoptic.json'), seg_prefix=str(tmp_path))
    metric.dataset_meta = IDS
    metric.process(None, [{'img_id': 7, 'pred_panoptic_seg': {'sem_seg': sample.pred_panoptic_seg.sem_seg}}])
    assert metric.evaluate(1)['pan/PQ'] == pytest.approx(1)


def test_coco_entries_need_ids(sample):
    with pytest.raises(ValueError, match='dataset_meta lacks thing_ids'):
        MTLResult.from_sample(sample, META).to_coco(1)
    sample = DetDataSample(metainfo=dict(ori_shape=(6, 8), img_path='x.jpg'))
    with pytest.raises(ValueError, match='no panoptic map of x.jpg'):
        MTLResult.from_sample(sample, IDS).panoptic_png()
    assert MTLResult.from_sample(sample, IDS).to_coco(1) == {}


def test_maps_as_png(sample, tmp_path):
    result = MTLResult.from_sample(sample, IDS)
    result.save(tmp_path / 'x.json', maps=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ['x.json', 'x_panoptic.png', 'x_semantic.png']
    assert np.array_equal(cv2.imread(str(tmp_path / 'x_semantic.png'), cv2.IMREAD_UNCHANGED), result.sem_seg)
    assert np.array_equal(cv2.imread(str(tmp_path / 'x_panoptic.png'))[..., ::-1], result.panoptic_png())
    result.sem_seg = result.sem_seg.astype(np.uint16) + 300
    result.save(tmp_path / 'y.json', maps=True)
    assert np.array_equal(cv2.imread(str(tmp_path / 'y_semantic.png'), cv2.IMREAD_UNCHANGED), result.sem_seg)


def test_plot(sample, tmp_path):
    image = np.full((6, 8, 3), 90, np.uint8)
    result = MTLResult.from_sample(sample, META, score_thr=0.1)
    picture = result.plot(image, out_file=tmp_path / 'sub' / 'x.png')
    assert np.array_equal(cv2.imread(str(tmp_path / 'sub' / 'x.png')), picture) and picture.dtype == np.uint8
    visualizer = MTLLocalVisualizer(name='plot')
    visualizer.dataset_meta = META
    direct = visualizer.compose(image, sample, draw_gt=False, pred_score_thr=0.1)
    assert np.array_equal(picture[..., ::-1], direct)
    visualizer.panels = ('caption',)
    assert result.plot(image, visualizer).shape != picture.shape
    with pytest.raises(ValueError, match=r'not \(8, 6, 3\)'):
        result.plot(image.transpose(1, 0, 2))


def test_samples_come_back(sample):
    result = MTLResult.from_sample(sample, META)
    again = MTLResult.from_sample(result.to_sample(), META)
    assert again.to_dict() == result.to_dict()
    sample.pred_instances = sample.pred_instances[torch.zeros(3, dtype=torch.bool)]
    empty = MTLResult.from_sample(sample, META)
    assert MTLResult.from_sample(empty.to_sample(), META).to_dict() == empty.to_dict()
