"""Our metrics in the evaluators of other projects: their data sets' classes, their names of fields."""

import json

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoPanopticDataset
from mmdet.evaluation import CocoMetric
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmseg.datasets import BaseSegDataset
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

from mmyolor_mtl.datasets.shapes import SHAPES_METAINFO, write_shapes
from mmyolor_mtl.evaluation.panoptic_files import load_segments
from mmyolor_mtl.structures import INSTANCE_OFFSET

SIZE = 64


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp('metrics') / 'shapes'
    write_shapes(root, 2, 6, size=SIZE, seed=7)
    return root


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmdet')


def figures(metrics, meta, samples):
    evaluator = Evaluator(metrics)
    evaluator.dataset_meta = meta
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


def test_semantic_metric_gives_mmsegs_figures(scenes):
    classes = [*SHAPES_METAINFO['classes'], *SHAPES_METAINFO['stuff_classes']]
    dataset = BaseSegDataset(
        data_root=str(scenes),
        data_prefix=dict(img_path='val2017', seg_map_path='stuffthingmaps/val2017'),
        metainfo=dict(classes=classes, palette=[[i, i, i] for i in range(len(classes))]),
        lazy_init=True,
    )
    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(4):
        truth = torch.randint(0, len(classes), (1, 16, 16), generator=generator)
        guess = torch.where(
            torch.rand(truth.shape, generator=generator) < 0.6,
            truth,
            torch.randint(0, len(classes), truth.shape, generator=generator),
        )
        truth[:, :2] = 255
        sample = SegDataSample(metainfo=dict(ori_shape=(16, 16)))
        sample.gt_sem_seg, sample.pred_sem_seg = PixelData(data=truth), PixelData(data=guess)
        samples.append(sample)
    ours = figures([dict(type='mmyolor_mtl.SemanticMetric')], dataset.metainfo, samples)
    theirs = figures([dict(type='mmseg.IoUMetric')], dataset.metainfo, samples)
    assert isinstance(Evaluator([dict(type='mmseg.IoUMetric')]).metrics[0], IoUMetric)
    for name in ('mIoU', 'aAcc', 'mAcc'):
        assert ours[f'sem/{name}'] * 100 == pytest.approx(theirs[name], abs=0.006)
    assert 0.3 < ours['sem/mIoU'] < 0.9


def test_detection_metric_beside_mmdets(scenes):
    ann_file = scenes / 'annotations/instances_val2017.json'
    content = json.loads(ann_file.read_text())
    label = {category['id']: number for number, category in enumerate(content['categories'])}
    samples = []
    for info in content['images']:
        anns = [ann for ann in content['annotations'] if ann['image_id'] == info['id'] and not ann['iscrowd']]
        boxes = torch.tensor([ann['bbox'] for ann in anns]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        sample = DetDataSample(metainfo=dict(img_id=info['id'], ori_shape=(info['height'], info['width'])))
        sample.pred_instances = InstanceData(
            bboxes=boxes + 1.5,
            scores=torch.linspace(0.9, 0.4, len(anns)),
            labels=torch.tensor([label[a['category_id']] for a in anns]),
        )
        samples.append(sample)
    meta = dict(classes=tuple(category['name'] for category in content['categories']))
    common = dict(ann_file=str(ann_file), metric='bbox')
    ours = figures([dict(type='mmyolor_mtl.DetectionMetric', **common)], meta, samples)
    theirs = figures([dict(type='CocoMetric', **common)], meta, samples)
    assert CocoMetric.default_prefix == 'coco' and 0.05 < ours['coco/bbox_mAP'] < 0.95
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=0.00051), name


def test_panoptic_metric_knows_the_classes_of_mmdets_data_set(scenes):
    ann_file, folder = scenes / 'annotations/panoptic_val2017.json', scenes / 'annotations/panoptic_val2017'
    content = json.loads(ann_file.read_text())
    categories = content['categories']
    things = [category['name'] for category in categories if category['isthing']]
    stuff = [category['name'] for category in categories if not category['isthing']]
    names = [*things, *stuff]
    dataset = CocoPanopticDataset(
        data_root=str(scenes),
        ann_file='annotations/panoptic_val2017.json',
        data_prefix=dict(img='val2017/', seg='annotations/panoptic_val2017/'),
        metainfo=dict(classes=names, thing_classes=things, stuff_classes=stuff),
        lazy_init=True,
    )
    ids = {category['id']: names.index(category['name']) for category in categories}
    samples = []
    for annotation in content['annotations']:
        truth = load_segments(annotation, folder, str(ann_file), set(ids))
        panoptic = np.full(truth.ids.shape, len(names), dtype=np.int64)
        for number, (segment, category) in enumerate(truth.categories.items(), start=1):
            is_thing = ids[category] < len(things)
            panoptic[truth.ids == segment] = ids[category] + INSTANCE_OFFSET * number * is_thing
        sample = DetDataSample(metainfo=dict(img_id=annotation['image_id']))
        sample.pred_panoptic_seg = PixelData(sem_seg=torch.from_numpy(panoptic)[None])
        samples.append(sample)
    metric = dict(type='mmyolor_mtl.PanopticMetric', ann_file=str(ann_file), seg_prefix=str(folder))
    perfect = figures([metric], dataset.metainfo, samples)
    assert perfect['pan/PQ'] == perfect['pan/PQ_th'] == perfect['pan/PQ_st'] == 1.0

    swapped = dict(dataset.metainfo, stuff_classes=['no such stuff', *stuff[1:]])
    with pytest.raises(ValueError, match="no category of the annotation file is called 'no such stuff'"):
        figures([metric], swapped, samples)


def test_caption_metric_with_references_of_a_file(scenes):
    ann_file = scenes / 'annotations/captions_val2017.json'
    content = json.loads(ann_file.read_text())
    references = {ann['image_id']: ann['caption'] for ann in content['annotations']}
    samples = []
    for img_id, caption in references.items():
        sample = DetDataSample(metainfo=dict(img_id=img_id))
        sample.set_field(caption, 'pred_caption', dtype=str)
        samples.append(sample)
    found = figures([dict(type='mmyolor_mtl.CaptionMetric', ann_file=str(ann_file))], dict(classes=()), samples)
    assert found['cap/Bleu_4'] == pytest.approx(1.0) and found['cap/ROUGE_L'] == pytest.approx(1.0)
