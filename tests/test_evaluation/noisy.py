"""Predictions made out of ground truth: right ones, and ones with every kind of mistake; also as a model."""

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData
from torch import nn

from mmyolor_mtl.registry import MODELS
from mmyolor_mtl.structures import INSTANCE_OFFSET, encode_mask


def true_masks(sample):
    """(N, H, W) bool."""
    masks = sample.gt_instances.masks.to_ndarray().astype(bool)
    return masks.reshape(-1, *sample.ori_shape)


def predict_truth(sample, meta):
    """Predict exactly what is labelled; things that no label tells are left out."""
    tasks = sample.labelled_tasks
    if 'det' in tasks:
        count = len(sample.gt_instances.labels)
        masks = true_masks(sample) if 'ins' in tasks else np.zeros((count, *sample.ori_shape), bool)
        set_instances(sample, sample.gt_instances.bboxes.numpy(), np.ones(count), sample.gt_instances.labels, masks)
    else:
        set_instances(sample, np.zeros((0, 4)), [], [], np.zeros((0, *sample.ori_shape), bool))
    labels = np.full(sample.ori_shape, 255, np.int64)
    if 'sem' in tasks:
        labels = sample.gt_sem_seg.sem_seg[0].numpy().astype(np.int64)
    set_maps(sample, labels, meta)
    sample.set_field(sample.gt_captions[0] if 'cap' in tasks else 'nothing', 'pred_caption')


def predict_noise(sample, meta):
    """Predict what is labelled, then shift, relabel, drop, repeat and invent; the same for the same image."""
    predict_truth(sample, meta)
    rng = np.random.default_rng(sample.img_id)
    height, width = sample.ori_shape
    found = sample.pred_instances
    boxes, labels, masks = found.bboxes.numpy(), found.labels.numpy().copy(), found.masks.numpy()
    chosen = np.repeat(np.arange(len(labels)), rng.choice([0, 1, 1, 1, 2], len(labels)))
    boxes, labels, masks = boxes[chosen] + rng.normal(0, 2, (len(chosen), 4)), labels[chosen], masks[chosen].copy()
    for mask in masks:
        mask[:] = np.roll(mask, rng.integers(-3, 4, 2), axis=(0, 1))
    wrong = rng.random(len(labels)) < 0.15
    labels[wrong] = rng.integers(0, len(meta['classes']), wrong.sum())
    boxes = np.concatenate([boxes, [[width / 4, height / 4, width / 2, height / 2]]])
    invented = np.zeros((1, height, width), bool)
    invented[:, height // 4 : height // 2, width // 4 : width // 2] = True
    labels, masks = np.append(labels, rng.integers(0, len(meta['classes']))), np.concatenate([masks, invented])
    set_instances(sample, boxes, rng.random(len(labels)), labels, masks)

    number = len(meta['classes']) + len(meta['stuff_classes']) + len(meta['extra_classes'])
    semantic = np.minimum(sample.pred_sem_seg.sem_seg[0].numpy(), number - 1)
    semantic = np.roll(semantic, rng.integers(-4, 5, 2), axis=(0, 1))
    for _ in range(4):
        y, x = rng.integers(0, height), rng.integers(0, width)
        semantic[y : y + height // 6, x : x + width // 6] = rng.integers(0, number)
    set_maps(sample, semantic, meta)
    words = str(sample.pred_caption).split()
    sample.set_field(' '.join(word for word in words if rng.random() < 0.8) or 'a', 'pred_caption')


def set_instances(sample, boxes, scores, labels, masks):
    sample.pred_instances = InstanceData(
        bboxes=torch.as_tensor(np.asarray(boxes), dtype=torch.float32),
        scores=torch.as_tensor(np.asarray(scores), dtype=torch.float32),
        labels=torch.as_tensor(np.asarray(labels), dtype=torch.long),
        masks=torch.as_tensor(masks),
    )


def set_maps(sample, labels, meta):
    """The semantic map, and a panoptic one: instances by score, then stuff where nothing lies."""
    num_things = len(meta['classes'])
    void = num_things + len(meta['stuff_classes'])
    sample.pred_sem_seg = PixelData(sem_seg=torch.as_tensor(labels)[None])
    panoptic = np.where((labels >= num_things) & (labels < void), labels, void)
    found = sample.pred_instances
    areas = found.masks.sum((1, 2)).numpy()
    for number, i in enumerate(np.lexsort((-areas, found.scores.numpy()))):  # from the back; smaller ones in front
        panoptic[found.masks[i].numpy()] = int(found.labels[i]) + INSTANCE_OFFSET * (number + 1)
    sample.pred_panoptic_seg = PixelData(sem_seg=torch.as_tensor(panoptic)[None])


def as_run_lengths(sample):
    """Give the masks as COCO RLE."""
    masks = sample.pred_instances.masks.numpy()
    fields = {name: value for name, value in sample.pred_instances.items() if name != 'masks'}
    sample.pred_instances = InstanceData(**fields, masks=[encode_mask(mask) for mask in masks])


@MODELS.register_module(force=True)
class NoisyModel(BaseModel):
    """Predicts the noise above for samples that carry their labels."""

    def __init__(self, meta):
        super().__init__()
        self.meta = meta
        self.scale = nn.Parameter(torch.ones(1))  # wrappers for several processes want one

    def forward(self, inputs, data_samples=None, mode='tensor'):
        assert mode == 'predict'
        for sample in data_samples:
            predict_noise(sample, self.meta)
        return data_samples
