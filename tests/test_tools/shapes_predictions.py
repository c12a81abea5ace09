"""Scenes of Shapes, a tiny network's config for them, and predictions with errors that are known."""

import pickle
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch
from mmdet.registry import DATASETS
from mmengine.structures import InstanceData, PixelData

from mmyolor_mtl.structures import encode_mask

from ..test_train.conftest import tiny_config

SIZE = 64


@dataclass
class Known:
    """What was done to perfect predictions: counts of errors, (true, predicted) classes that were swapped, ..."""

    counts: dict = field(default_factory=dict)
    swapped: Counter = field(default_factory=Counter)
    pixels: tuple = ()


def shapes_config(root, work_dir):
    """The demo's config for scenes in ``root``; its panoptic ground truth comes from the samples."""
    cfg = tiny_config(root, work_dir, batch_size=2)
    for metric in cfg.test_evaluator:
        if metric['type'] == 'mmyolor_mtl.PanopticMetric':
            metric.pop('ann_file'), metric.pop('seg_prefix')
    return cfg


def perfect(sample, meta):
    """Predict what is true."""
    true = sample.gt_instances
    masks = torch.from_numpy(true.masks.to_ndarray().astype(bool))
    sample.pred_instances = InstanceData(
        bboxes=true.bboxes.clone(), labels=true.labels.clone(), scores=torch.full((len(true),), 0.9), masks=masks
    )
    semantic = sample.gt_sem_seg.sem_seg.to(torch.int64)
    evaluated = len(meta['classes']) + len(meta['stuff_classes'])
    semantic[semantic == 255] = 0  # must predict something
    panoptic = torch.where((semantic >= len(meta['classes'])) & (semantic < evaluated), semantic, evaluated)
    for i in torch.argsort(-masks.flatten(1).sum(1), stable=True):
        panoptic[0][masks[i]] = true.labels[i] + 1000 * (i + 1)
    sample.pred_sem_seg, sample.pred_panoptic_seg = PixelData(sem_seg=semantic), PixelData(sem_seg=panoptic)
    sample.set_field(sample.gt_captions[0], 'pred_caption')
    sample.set_field(-0.5, 'pred_caption_score')


def alone(boxes, index):
    """Whether an object touches no other."""
    others = np.delete(boxes, index, axis=0)
    low, high = np.maximum(others[:, :2], boxes[index, :2]), np.minimum(others[:, 2:], boxes[index, 2:])
    return not (np.clip(high - low, 0, None).prod(axis=1) > 0).any()


def change(samples, meta, known):
    """Swap three classes, leave two objects out, double one, shrink one, see one where nothing is."""
    places = [
        (sample, i)
        for sample in samples
        for i in range(len(sample.gt_instances))
        if alone(sample.gt_instances.bboxes.numpy(), i)
    ]
    swaps, lost, doubled, shrunk = places[:3], places[3:5], places[5], places[6]
    for sample, i in swaps:
        absent = sorted(set(range(len(meta['classes']))) - set(sample.gt_instances.labels.tolist()))
        known.swapped[int(sample.gt_instances.labels[i]), absent[0]] += 1
        sample.pred_instances.labels[i] = absent[0]
    sample, i = doubled
    extra = sample.pred_instances[i : i + 1]
    extra.scores = torch.tensor([0.6])
    sample.pred_instances = InstanceData.cat([sample.pred_instances, extra])
    sample, i = shrunk
    x0, y0, x1, y1 = sample.pred_instances.bboxes[i].tolist()
    sample.pred_instances.bboxes[i] = torch.tensor([x0, y0, x1, y0 + 0.3 * (y1 - y0)])
    sample.pred_instances.masks[i, int(y0 + 0.3 * (y1 - y0)) :] = False
    sample = samples[-1]
    ghost = InstanceData(
        bboxes=torch.tensor([[0.0, 0, 1, 1]]),
        labels=torch.tensor([0]),
        scores=torch.tensor([0.7]),
        masks=torch.zeros(1, SIZE, SIZE, dtype=torch.bool),
    )
    sample.pred_instances = InstanceData.cat([sample.pred_instances, ghost])
    for sample, i in sorted(lost, key=lambda place: -place[1]):  # from the end, so that the numbers stay
        keep = torch.ones(len(sample.pred_instances), dtype=torch.bool)
        keep[i] = False
        sample.pred_instances = sample.pred_instances[keep]
    known.counts = dict(
        [('class', 3), ('missed', 2), ('duplicate', 1), ('localisation', 1), ('background', 1), ('both', 0)]
    )


def change_pixels(sample, meta, known):
    """Take fifty pixels of the commonest kind of stuff for another class."""
    ids = sample.pred_sem_seg.sem_seg[0]
    stuff = torch.bincount(ids.flatten(), minlength=len(meta['classes']) + len(meta['stuff_classes']))
    true = int(stuff[len(meta['classes']) :].argmax()) + len(meta['classes'])
    other = int((stuff == 0).nonzero()[-1])
    rows, columns = (ids == true).nonzero()[:50].T
    ids[rows, columns] = other
    names = [*meta['classes'], *meta['stuff_classes']]
    known.pixels = (names[true], names[other], 50)


def write_predictions(cfg, path):
    """Write a pickle as ``tools/test.py --out`` does.

    Returns:
        Known: The errors in it.
    """
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    samples = [dataset[i]['data_samples'] for i in range(len(dataset))]
    known, meta = Known(), dataset.metainfo
    for sample in samples:
        full = set(sample.labelled_tasks) == {'det', 'ins', 'sem', 'cap'}
        if full:
            perfect(sample, meta)
        else:  # what is predicted of an image that is not labelled for it counts nowhere
            sample.pred_instances = InstanceData(
                bboxes=torch.tensor([[3.0, 3, 30, 30]]), labels=torch.tensor([0]), scores=torch.tensor([0.9]),
                masks=torch.ones(1, SIZE, SIZE, dtype=torch.bool),
            )  # fmt: skip
            sample.pred_sem_seg = PixelData(sem_seg=sample.gt_sem_seg.sem_seg.to(torch.int64))
            sample.pred_panoptic_seg = PixelData(sem_seg=torch.zeros(1, SIZE, SIZE, dtype=torch.int64))
            sample.set_field('nothing', 'pred_caption')
    labelled = [sample for sample in samples if 'det' in sample.labelled_tasks]
    change(labelled, meta, known)
    change_pixels(labelled[0], meta, known)
    labelled[1].set_field('words that nobody said', 'pred_caption')
    content = []
    for sample in samples:
        one = sample.to_dict()
        one['pred_instances']['masks'] = [encode_mask(mask.numpy()) for mask in one['pred_instances']['masks']]
        for name in ('gt_instances', 'ignored_instances'):
            one.pop(name, None)
        content.append(one)
    path.write_bytes(pickle.dumps(content))
    return known
