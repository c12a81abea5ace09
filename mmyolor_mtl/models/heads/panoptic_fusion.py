"""Merging instances and the semantic map into one panoptic map (REFERENCE_SPEC 6.4)."""

import torch
from mmdet.evaluation import INSTANCE_OFFSET
from mmengine.structures import InstanceData
from torch import Tensor


def fuse_panoptic(
    instances: InstanceData,
    sem_seg: Tensor,
    *,
    num_things: int,
    num_evaluated: int,
    score_thr: float = 0.25,
    min_visible: float = 0.0,
    min_stuff_area: int = 0,
) -> Tensor:
    """Paint instances in order of score, then stuff where nothing is painted.

    With ``min_visible`` 0 and ``min_stuff_area`` 0 this is the rule of the reference; 0.5 and 4096 px are usual values
    of the panoptic literature.

    Args:
        instances: ``scores`` (K,) sorted or not, ``labels`` (K,), ``masks`` (K, H, W) bool.
        sem_seg: (H, W) int64 contiguous semantic ids.
        num_things: Ids below are things; their pixels stay void unless an instance covers them.
        num_evaluated: Ids from here on are never evaluated and become void; also the value of void pixels.
        score_thr: Instances below are left out.
        min_visible: Share of its mask that must not be covered by better instances, 0..1.
        min_stuff_area: Stuff classes with fewer free pixels become void.

    Returns:
        (H, W) int64, ``class + INSTANCE_OFFSET * number`` with numbers from 1 for things and 0 for stuff.
    """
    panoptic = torch.full_like(sem_seg, num_evaluated)
    free = torch.ones_like(sem_seg, dtype=torch.bool)
    order = instances.scores.argsort(descending=True)
    order = order[instances.scores[order] >= score_thr]
    number = 0
    for index in order.tolist():
        mask = instances.masks[index]
        visible = mask & free
        area = int(visible.sum())
        if area == 0 or area < min_visible * int(mask.sum()):
            continue
        number += 1
        panoptic[visible] = instances.labels[index] + INSTANCE_OFFSET * number
        free &= ~visible
    stuff = free & (sem_seg >= num_things) & (sem_seg < num_evaluated)
    if min_stuff_area > 0:
        area = torch.bincount(sem_seg[stuff], minlength=num_evaluated)
        stuff &= (area >= min_stuff_area)[sem_seg.clamp(max=num_evaluated - 1)]
    panoptic[stuff] = sem_seg[stuff]
    return panoptic
