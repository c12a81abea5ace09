"""Every metric against independent implementations, on Shapes scenes and on real photographs; files and back."""

import contextlib
import io
import json

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.evaluation import IoUMetric
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmyolor_mtl.datasets.shapes import write_shapes
from mmyolor_mtl.evaluation import score_panoptic_files, score_stuff_files
from mmyolor_mtl.registry import DATASETS, METRICS

from .noisy import as_run_lengths, predict_noise, predict_truth

NAMES = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
TOLERANCE = 1e-6


class Case:
    """A data set with predictions of one kind, and all metrics' figures with and without files of ground truth."""

    def __init__(self, root, split, predict, out, **kwargs):
        self.root, self.split, self.out = root, split, out
        init_default_scope('mmdet')
        dataset = DATASETS.build(
            dict(
                type='mmyolor_mtl.COCOMultiTaskDataset',
                data_root=str(root),
                ann_file=f'annotations/instances_{split}.json',
                caption_file=f'annotations/captions_{split}.json',
                data_prefix=dict(img=split, seg=f'stuffthingmaps/{split}'),
                test_mode=True,
                check='none',
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='mmyolor_mtl.Letterbox', scale=(64, 64)),  # labels that come after it stay full size
                    dict(type='mmyolor_mtl.LoadMTLAnnotations'),
                    dict(type='mmyolor_mtl.PackMTLInputs'),
                ],
                **kwargs,
            )
        )
        self.meta = dataset.metainfo
        self.samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
        for sample in self.samples:
            predict(sample, self.meta)
        self.ids = [sample.img_id for sample in self.samples]
        annotations = root / 'annotations'
        self.files = {
            'instances': annotations / f'instances_{split}.json',
            'panoptic': annotations / f'panoptic_{split}.json',
        }
        truth = {'ann_file': str(self.files['instances'])}
        panoptic = {'ann_file': str(self.files['panoptic']), 'seg_prefix': str(annotations / f'panoptic_{split}')}
        self.figures = {}
        for name, options in (
            ('DetectionMetric', dict(metric=['bbox', 'segm'], per_class=True, **truth)),
            ('SemanticMetric', dict(per_class=True)),
            ('PanopticMetric', dict(per_class=True, **panoptic)),
            ('CaptionMetric', {}),
        ):
            self.figures |= self.evaluate(name, outfile_prefix=str(out / 'results'), **options)

    def evaluate(self, name, **options):
        metric = METRICS.build(dict(type=f'mmyolor_mtl.{name}', **options))
        metric.dataset_meta = self.meta
        for sample in self.samples:
            metric.process(None, [sample.to_dict()])
        self.metric = metric
        return metric.evaluate(len(self.samples))

    def panoptic_truth(self):
        """Panoptic JSON of the evaluated images alone, with its PNGs beside it."""
        content = json.loads(self.files['panoptic'].read_text())
        content['annotations'] = [ann for ann in content['annotations'] if ann['image_id'] in self.ids]
        chosen = {ann['image_id'] for ann in content['annotations']}
        content['images'] = [image for image in content['images'] if image['id'] in chosen]
        path = self.out / 'truth.json'
        path.write_text(json.dumps(content))
        return path, self.files['panoptic'].with_suffix('')


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp('oracles') / 'shapes'
    write_shapes(root, train=1, val=8, size=128, seed=11)
    return root


@pytest.fixture(scope='module')
def shapes_case(shapes, tmp_path_factory):
    from mmyolor_mtl.datasets.shapes import SHAPES_METAINFO

    return Case(shapes, 'val2017', predict_noise, tmp_path_factory.mktemp('noise'), metainfo=SHAPES_METAINFO)


@pytest.fixture(scope='module')
def photographs(shared_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp('photographs')
    return Case(shared_dir / 'mini_coco', 'train2017', predict_noise, out, indices=[*range(0, 204, 4)])


@pytest.fixture(params=['shapes_case', 'photographs'])
def case(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope='module', params=['shapes', 'photographs'])
def perfect(request, tmp_path_factory):
    out = tmp_path_factory.mktemp('perfect')
    if request.param == 'shapes':
        from mmyolor_mtl.datasets.shapes import SHAPES_METAINFO

        return Case(request.getfixturevalue('shapes'), 'val2017', predict_truth, out, metainfo=SHAPES_METAINFO)
    root = request.getfixturevalue('shared_dir') / 'mini_coco'
    return Case(root, 'val2017', predict_truth, out)


def test_perfect_predictions_score_one(perfect):
    figures = perfect.figures
    expected = [f'coco/{kind}_{name}' for kind in ('bbox', 'segm') for name in NAMES]
    expected += [f'sem/{name}' for name in ('mIoU', 'aAcc', 'mAcc', 'FWIoU', 'mIoU_things', 'mIoU_stuff')]
    expected += [f'sem/stuff_{name}' for name in ('mIoU', 'aAcc', 'mAcc', 'FWIoU')]
    expected += [f'cap/{name}' for name in ('Bleu_1', 'Bleu_4', 'ROUGE_L')]
    scores = {name: figures[name] for name in expected if figures[name] != -1}  # -1: no object of that size
    assert len(scores) >= len(expected) - 4
    assert scores == pytest.approx(dict.fromkeys(scores, 1.0), abs=1e-9)


def test_perfect_panoptic_maps_score_one(shapes, perfect):
    # Without files the ground truth is made of the same labels as these predictions.
    figures = perfect.evaluate('PanopticMetric')
    assert len(figures) == 9 and figures == pytest.approx(dict.fromkeys(figures, 1.0), abs=1e-9)
    if shapes in perfect.files['panoptic'].parents:
        assert perfect.figures['pan/PQ'] == pytest.approx(1, abs=1e-9)


def official_ap(case, kind):
    """pycocotools on the files that the metric wrote."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(case.files['instances']))
        evaluation = COCOeval(truth, truth.loadRes(str(case.out / f'results.{kind}.json')), kind)
        evaluation.params.imgIds = sorted(case.ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_boxes_and_masks_equal_pycocotools(case, kind):
    evaluation = official_ap(case, kind)
    ours = [case.figures[f'coco/{kind}_{name}'] for name in NAMES]
    assert ours == pytest.approx(evaluation.stats[:6].tolist(), abs=TOLERANCE)
    assert 0.05 < ours[0] < 0.95
    # Both backends, and masks as run lengths
    everything = {'metric_items': [*NAMES, 'AR@1', 'AR@10', 'AR@100', 'AR_s@100', 'AR_m@100', 'AR_l@100']}
    for sample in case.samples:
        if not isinstance(sample.pred_instances.masks, list):
            as_run_lengths(sample)
    options = {'ann_file': str(case.files['instances']), 'metric': kind, **everything}
    for backend in ('pycocotools', 'faster_coco_eval'):
        figures = case.evaluate('DetectionMetric', backend=backend, **options)
        assert [*figures.values()] == pytest.approx(evaluation.stats.tolist(), abs=TOLERANCE), backend


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_boxes_and_masks_equal_hotcoco(case, kind):
    hotcoco = pytest.importorskip('hotcoco')
    truth = hotcoco.COCO(str(case.files['instances']))
    evaluation = hotcoco.COCOeval(truth, truth.loadRes(str(case.out / f'results.{kind}.json')), kind)
    evaluation.params.imgIds = sorted(case.ids)
    evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    ours = [case.figures[f'coco/{kind}_{name}'] for name in NAMES]
    assert ours == pytest.approx([*evaluation.stats[:6]], abs=TOLERANCE)


def test_boxes_without_files_of_truth(case):
    figures = case.evaluate('DetectionMetric', metric=['bbox', 'segm'], outfile_prefix=str(case.out / 'own'))
    assert figures['coco/bbox_mAP_50'] == pytest.approx(case.figures['coco/bbox_mAP_50'], abs=0.02)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(case.out / 'own.gt.json'))
        for kind in ('bbox', 'segm'):
            evaluation = COCOeval(truth, truth.loadRes(str(case.out / f'own.{kind}.json')), kind)
            evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
            ours = [figures[f'coco/{kind}_{name}'] for name in NAMES]
            assert ours == pytest.approx(evaluation.stats[:6].tolist(), abs=TOLERANCE)


def labelled_maps(case):
    for sample in case.samples:
        if 'sem' in sample.labelled_tasks:
            yield sample.pred_sem_seg.sem_seg[0], sample.gt_sem_seg.sem_seg[0].long()


def test_semantic_figures_equal_mmseg(case):
    number = len(case.meta['classes']) + len(case.meta['stuff_classes'])
    metric = IoUMetric()
    metric.dataset_meta = {'classes': range(number)}
    for pred, gt in labelled_maps(case):
        metric.process(None, [{'pred_sem_seg': {'data': pred[None]}, 'gt_sem_seg': {'data': gt[None]}}])
    areas = [sum(part.double() for part in parts) for parts in zip(*metric.results, strict=True)]
    scores = IoUMetric.total_area_to_metrics(*areas)
    ours = {name: case.figures[f'sem/{name}'] for name in ('mIoU', 'mAcc', 'aAcc')}
    expected = {'mIoU': np.nanmean(scores['IoU']), 'mAcc': np.nanmean(scores['Acc']), 'aAcc': float(scores['aAcc'])}
    assert ours == pytest.approx(expected, abs=TOLERANCE)
    assert 0.2 < ours['mIoU'] < 0.95


def test_semantic_figures_equal_hotcoco(case):
    semantic = pytest.importorskip('hotcoco').semantic
    meta = case.meta
    evaluated = len(meta['classes']) + len(meta['stuff_classes'])
    evaluation = semantic.SemanticEval(evaluated + 1)  # one more for all extra classes
    for pred, gt in labelled_maps(case):
        evaluation.update(np.where(gt < evaluated, gt, 255), pred.clamp(max=evaluated).numpy())
    confusion = evaluation.confusion().astype(float)[:evaluated]
    right, of_gt, of_pred = np.diag(confusion), confusion.sum(1), confusion.sum(0)[:evaluated]
    with np.errstate(invalid='ignore'):
        iou, recall = right / (of_gt + of_pred - right), right / of_gt
    things = len(meta['classes'])
    expected = {
        'mIoU': np.nanmean(iou),
        'mIoU_things': np.nanmean(iou[:things]),
        'mIoU_stuff': np.nanmean(iou[things:]),
        'aAcc': right.sum() / of_gt.sum(),
        'mAcc': np.nanmean(recall),
        'FWIoU': np.nansum(iou * of_gt) / of_gt.sum(),
    }
    assert {name: case.figures[f'sem/{name}'] for name in expected} == pytest.approx(expected, abs=TOLERANCE)


def write_stuff_truth(case, other):
    """A stuff JSON as COCO's: one mask for each stuff class of an image, and one of *other* for all its things."""
    number = len(case.meta['classes'])
    images, annotations = [], []
    for sample in case.samples:
        height, width = sample.ori_shape
        images.append({'id': sample.img_id, 'height': height, 'width': width, 'file_name': ''})
        if 'sem' not in sample.labelled_tasks:
            continue
        gt = sample.gt_sem_seg.sem_seg[0].numpy()
        masks = {category: gt == number + i for i, category in enumerate(case.meta['stuff_ids'])}
        for category, mask in {**masks, other: gt < number}.items():
            if mask.any():
                rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
                entry = {'id': len(annotations) + 1, 'image_id': sample.img_id, 'category_id': category, 'iscrowd': 0}
                annotations.append({**entry, 'segmentation': {**rle, 'counts': rle['counts'].decode()}})
    path = case.out / 'stuff_truth.json'
    categories = [{'id': i, 'name': str(i)} for i in (*case.meta['stuff_ids'], other)]
    path.write_text(json.dumps({'images': images, 'annotations': annotations, 'categories': categories}))
    return path


def draw(coco, image):
    """Category ids of an image, and how many masks lie on each pixel."""
    canvas, cover = np.zeros((2, image['height'], image['width']), int)
    for ann in coco.loadAnns(coco.getAnnIds(image['id'])):
        mask = coco.annToMask(ann)
        canvas[mask > 0] = ann['category_id']
        cover += mask
    return canvas, cover


def test_stuff_results_read_by_pycocotools_score_the_same(case):
    other = max(*case.meta['thing_ids'], *case.meta['stuff_ids']) + 1
    path = write_stuff_truth(case, other)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        results = truth.loadRes(str(case.out / 'results.stuff.json'))
    confusion = np.zeros((256, 256))
    for image in truth.dataset['images']:
        gt, pred = draw(truth, image), draw(results, image)
        assert pred[1].min() == pred[1].max() == 1  # the results fill the picture, without overlap
        np.add.at(confusion, (gt[0].ravel(), pred[0].ravel()), 1)
    confusion = confusion[1:, 1:]  # only pixels with a label
    right, of_gt = np.diag(confusion), confusion.sum(1)
    iou = right / np.maximum(of_gt + confusion.sum(0) - right, 1)
    assert case.figures['sem/stuff_mIoU'] == pytest.approx(iou[of_gt > 0].mean(), abs=TOLERANCE)
    expected = {name: case.figures[f'sem/stuff_{name}'] for name in ('mIoU', 'aAcc', 'mAcc', 'FWIoU')}
    scores = score_stuff_files(path, case.out / 'results.stuff.json', other_id=other)
    assert scores == pytest.approx(expected, abs=1e-12)


def test_panoptic_files_score_the_same(case):
    truth, folder = case.panoptic_truth()
    result = case.out / 'results.panoptic.json'
    ours = {name.removeprefix('pan/'): value for name, value in case.figures.items() if name.startswith('pan/')}
    assert len(ours) == 9 and 0.1 < ours['PQ'] < 0.95
    assert score_panoptic_files(truth, result, ann_folder=folder) == pytest.approx(ours, abs=1e-12)
    content = json.loads(result.read_text())
    assert {ann['image_id'] for ann in content['annotations']} == set(case.ids)


def test_panoptic_quality_equals_hotcoco(case):
    panoptic = pytest.importorskip('hotcoco').panoptic
    truth, folder = case.panoptic_truth()
    evaluation = panoptic.PanopticEval(str(truth), str(case.out / 'results.panoptic.json'), gt_folder=str(folder))
    evaluation.evaluate()
    theirs = evaluation.results()
    for group, suffix in (('All', ''), ('Things', '_th'), ('Stuff', '_st')):
        for name in ('PQ', 'SQ', 'RQ'):
            ours = case.figures[f'pan/{name}{suffix}']
            assert ours == pytest.approx(theirs[group][name.lower()], abs=TOLERANCE), (group, name)


def test_partial_labels_are_part_of_the_photographs(photographs):
    tasks = [set(sample.labelled_tasks) for sample in photographs.samples]
    assert any('sem' not in one for one in tasks) and any('sem' in one for one in tasks)
