import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData, PixelData

from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.evaluation.errors import ErrorAnalysis
from mmyolor_mtl.evaluation.functional.detection_errors import ERRORS
from mmyolor_mtl.structures import encode_mask
from mmyolor_mtl.utils import register_all_modules

META = dict(
    classes=('cat', 'dog'), thing_ids=(1, 2), stuff_classes=('grass', 'sky'), stuff_ids=(3, 4), extra_classes=('other',)
)
SIZE = (60, 80)
BOXES = [(5, 5, 25, 25), (40, 10, 70, 50)]
ALL = ('det', 'ins', 'sem', 'cap')


def rectangles(boxes, size=SIZE):
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def polygons(boxes):
    return PolygonMasks([[np.array([x0, y0, x1, y0, x1, y1, x0, y1], float)] for x0, y0, x1, y1 in boxes], *SIZE)


def panoptic(boxes, labels):
    ids = np.full(SIZE, 2)
    ids[:30] = 3
    for number, (mask, label) in enumerate(zip(rectangles(boxes), labels, strict=True), start=1):
        ids[mask] = label + 1000 * number
    return ids


def make_sample(labels=(0, 1), boxes=BOXES, caption='a cat beside a dog', tasks=ALL, gt_masks=polygons, masks=None):
    """Two true animals on grass under a sky, and what is predicted."""
    sample = DetDataSample(metainfo=dict(img_id=7, labelled_tasks=tasks))
    true = torch.tensor(BOXES, dtype=torch.float32)
    sample.gt_instances = InstanceData(bboxes=true, labels=torch.tensor([0, 1]), masks=gt_masks(BOXES))
    sample.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(panoptic(BOXES, [0, 1]) % 1000)[None].to(torch.uint8))
    sample.set_field(['a cat beside a dog', 'a dog and a cat on grass'], 'gt_captions')
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.linspace(0.9, 0.5, len(labels)),
        masks=torch.from_numpy(rectangles(boxes)) if masks is None else masks(boxes),
    )
    ids = torch.from_numpy(panoptic(boxes, labels))[None]
    sample.pred_sem_seg = PixelData(sem_seg=ids % 1000)
    sample.pred_panoptic_seg = PixelData(sem_seg=ids)
    sample.set_field(caption, 'pred_caption')
    return sample


def analyse(*samples, **kwargs):
    analysis = ErrorAnalysis(META, **kwargs)
    for index, sample in enumerate(samples):
        analysis.add(index, sample)
    return analysis


def test_perfect_predictions_have_no_errors_in_any_task():
    analysis = analyse(make_sample(), make_sample())
    found = analysis.summary()
    assert list(found) == ['det', 'ins', 'sem', 'pan', 'cap'] and all(part['images'] == 2 for part in found.values())
    for task in ('det', 'ins'):
        counts = found[task]['counts']
        assert counts['found'] == counts['correct'] == counts['objects'] == 4 and counts['missed'] == 0
        assert found[task]['confusion'] == [[2, 0, 0], [0, 2, 0], [0, 0, 0]] and not found[task]['confused']
    assert found['sem']['mIoU'] == found['sem']['accuracy'] == found['pan']['PQ'] == 1
    assert found['cap']['figures']['Bleu_4'] == pytest.approx(1)
    assert not any(analysis.worst(task, 5) for task in ('det', 'ins', 'sem', 'pan'))


def test_a_swapped_class_shows_in_every_map_of_it():
    found = analyse(make_sample(labels=(1, 1)), make_sample()).summary()
    for task in ('det', 'ins'):
        assert found[task]['confusion'] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
        assert found[task]['confused'] == [dict(true='cat', predicted='dog', count=1, share_of_true=0.5)]
    assert found['sem']['confused'] == [dict(true='cat', predicted='dog', count=400, share_of_true=0.5)]
    assert found['pan']['categories'][0] == dict(name='cat', PQ=pytest.approx(2 / 3), found=1, wrong=0, missed=1)


def test_worst_images_come_first_and_say_what_is_wrong():
    samples = [make_sample(), make_sample(labels=(1, 0)), make_sample(labels=(1, 1)), make_sample(boxes=[], labels=())]
    analysis = analyse(*samples)
    assert [one.index for one in analysis.worst('det', 9)] == [1, 3, 2]
    worst = analysis.worst('det', 9)
    assert worst[0].score == 0 and worst[0].note == '0 of 2 objects found; 2 of the wrong class'
    assert worst[1].note == '0 of 2 objects found; 2 missed' and worst[2].score == pytest.approx(2 / 4)
    assert [one.index for one in analysis.worst('sem', 2)][0] in (1, 3) and 'as dog' in analysis.worst('sem', 3)[
        -1
    ].note
    assert 'missed: cat × 1, dog × 1' in analysis.worst('pan', 1)[0].note
    assert len(analysis.worst('ins', 1)) == 1 and analysis.worst('ins', 0) == []


def test_a_caption_far_from_its_references_is_worst():
    others = ['a bus on a road', 'two boats in the sea', 'a red kite']
    samples = [make_sample(caption=text) for text in ('a cat beside a dog', 'the red kite over there flies high')]
    for text in others:
        sample = make_sample(caption=text)
        sample.set_field([text], 'gt_captions')
        samples.append(sample)
    analysis = analyse(*samples)
    worst = analysis.worst('cap', 1)[0]
    assert worst.index == 1 and worst.note == 'BLEU-4 0.00; 7 words, the references have 6'
    found = analysis.summary()['cap']
    assert sum(row['captions'] for row in found['lengths']) == 5 == len(found['scores'])
    assert found['figures']['words'] == pytest.approx(np.mean([5, 7, 5, 5, 3]))


@pytest.mark.parametrize(
    ('tasks', 'judged'),
    [
        (('det',), ['det']),
        (('sem',), ['sem']),
        (('det', 'ins', 'sem'), ['det', 'ins', 'sem', 'pan']),
        (('cap',), ['cap']),
        ((), []),
    ],
)
def test_images_are_judged_for_the_tasks_they_carry(tasks, judged):
    analysis = analyse(make_sample(labels=(1, 1), tasks=tasks), make_sample())
    found = analysis.summary()
    assert {task: part['images'] for task, part in found.items()} == {
        task: 1 + (task in judged) for task in ('det', 'ins', 'sem', 'pan', 'cap')
    }
    assert analyse(make_sample(tasks=tasks)).judged_tasks == judged


def test_only_the_tasks_asked_for_and_those_predicted():
    assert analyse(make_sample(), tasks=('sem', 'cap')).judged_tasks == ['sem', 'cap']
    sample = make_sample()
    for name in ('pred_sem_seg', 'pred_panoptic_seg', 'pred_caption'):
        delattr(sample, name)
    del sample.pred_instances.masks
    assert analyse(sample).judged_tasks == ['det']


FORMS = {
    'bitmaps': lambda boxes: BitmapMasks(rectangles(boxes).astype(np.uint8), *SIZE),
    'array': rectangles,
    'run lengths': lambda boxes: [encode_mask(mask) for mask in rectangles(boxes)],
    'polygons': polygons,
}


@pytest.mark.parametrize('form', FORMS)
def test_masks_in_any_form(form):
    for sample in (make_sample(masks=FORMS[form]), make_sample(gt_masks=FORMS[form])):
        assert analyse(sample, tasks=('ins',)).summary()['ins']['counts']['correct'] == 2


def test_masks_are_judged_by_their_pixels_not_by_their_boxes():
    sample = make_sample()
    sample.pred_instances.masks[0, :, :22] = False
    found = analyse(sample).summary()
    assert found['det']['counts']['correct'] == 2
    assert found['ins']['counts']['correct'] == 1 and found['ins']['counts']['localisation'] == 1


def test_crowds_are_left_out():
    sample = make_sample()
    sample.ignored_instances, sample.gt_instances = sample.gt_instances[:1], sample.gt_instances[1:]
    for task in ('det', 'ins'):
        counts = analyse(sample).summary()[task]['counts']
        assert (counts['objects'], counts['correct'], counts['ignored']) == (1, 1, 1)


def test_errors_are_written_beside_the_objects():
    boxes = [*BOXES, BOXES[1], (5, 40, 15, 50), (40, 10, 70, 22)]
    sample = make_sample(labels=(1, 1, 1, 0, 0), boxes=boxes)
    analysis = analyse(sample)
    analysis.annotate('det', sample)
    assert sample.pred_instances.notes == ['is cat', '', 'duplicate', 'nothing there', 'is dog, IoU 0.30']
    assert sample.gt_instances.notes == ['taken for dog', '']
    sample = make_sample(labels=(0,), boxes=[(5, 5, 25, 12)])
    analysis.annotate('ins', sample)
    assert sample.pred_instances.notes == ['IoU 0.35'] and sample.gt_instances.notes == ['badly placed', 'missed']
    sample = make_sample(labels=(1, 1))
    analysis.annotate('sem', sample)
    assert np.array_equal(sample.pred_sem_seg.wrong[0], rectangles(BOXES[:1])[0])
    assert 'notes' not in sample.pred_instances


def test_wrong_input():
    with pytest.raises(ValueError, match="'boxes'.*give some of"):
        ErrorAnalysis(META, tasks=('det', 'boxes'))
    with pytest.raises(ValueError, match=r'score_thr=3 must be in \[0, 1\]'):
        ErrorAnalysis(META, score_thr=3)
    with pytest.raises(ValueError, match='class 5 is predicted, but the data set has 2'):
        analyse(make_sample(labels=(0, 5)), tasks=('det',))
    sample = make_sample(masks=lambda boxes: rectangles(boxes, (70, 90)))
    with pytest.raises(ValueError, match=r'predicted masks are \[70, 90\], true ones \[60, 80\]'):
        analyse(sample, tasks=('ins',))


def test_photographs_predicted_perfectly_have_no_errors(shared_dir):
    """Crowds, overlaps and objects of a few pixels, as people drew them."""
    register_all_modules()
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='mmyolor_mtl.LoadMTLAnnotations', tasks=('det', 'ins')),
        dict(type='mmyolor_mtl.PackMTLInputs', mask_stride=1),
    ]
    dataset = COCOMultiTaskDataset(
        'annotations/instances_val2017.json',
        data_root=str(shared_dir / 'mini_coco'),
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=load,
    )
    analysis = ErrorAnalysis(dataset.metainfo)
    for index in range(len(dataset)):
        sample = dataset[index]['data_samples']
        true = sample.gt_instances
        masks = torch.from_numpy(true.masks.to_ndarray().astype(bool))
        sample.pred_instances = InstanceData(
            bboxes=true.bboxes, labels=true.labels, scores=torch.rand(len(true)) * 0.6 + 0.4, masks=masks
        )
        analysis.add(index, sample)
    for found in analysis.summary().values():
        counts = found['counts']
        assert counts['found'] == counts['correct'] == counts['objects'] > 200 and not counts['missed']
        assert not any(counts[kind] for kind in ERRORS)
    assert analysis.judged_tasks == ['det', 'ins'] and not analysis.worst('det', 1) and not analysis.worst('ins', 1)
