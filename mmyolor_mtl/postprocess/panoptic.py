"""Merging instances and the semantic map into one panoptic map (REFERENCE_SPEC 6.4)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmyolor_mtl.structures import INSTANCE_OFFSET
from mmyolor_mtl.structures.rle import decode_rle

from .masks import InstanceMasks, Window

# Every confident instance is painted, however little of it shows, and every stuff class.
REFERENCE_RULE = dict(score_thr=0.25, min_visible=0.0, min_stuff_area=0)
# The usual rule of the panoptic literature: no instances that lie mostly under better ones, no specks of stuff.
OVERLAP_RULE = dict(score_thr=0.5, min_visible=0.5, min_stuff_area=4096)


def fuse_panoptic(
    masks: Any,
    scores: np.ndarray,
    labels: np.ndarray,
    sem_seg: np.ndarray,
    *,
    num_things: int,
    num_evaluated: int,
    score_thr: float = REFERENCE_RULE['score_thr'],
    min_visible: float = REFERENCE_RULE['min_visible'],
    min_stuff_area: int = 0,
) -> np.ndarray:
    """Paint instances in order of score, then stuff where nothing is painted.

    The defaults are the reference's rule, ``REFERENCE_RULE``; ``**OVERLAP_RULE`` gives the usual one.

    Args:
        masks (InstanceMasks | np.ndarray | list[Rle]): K masks: windows, (K, H, W) bool, or COCO run lengths.
        scores (np.ndarray): (K,), sorted or not; of equal ones the first is on top.
        labels (np.ndarray): (K,) thing classes.
        sem_seg (np.ndarray): (H, W) contiguous semantic ids.
        num_things (int): Ids below are things; their pixels stay void unless an instance covers them.
        num_evaluated (int): Ids from here on are never evaluated and become void; also the value of void pixels.
        score_thr (float): Instances below are left out.
        min_visible (float): Share of its mask that must not be covered by better instances, 0..1.
        min_stuff_area (int): Stuff classes with fewer free pixels become void.

    Returns:
        np.ndarray: (H, W) int64, ``class + INSTANCE_OFFSET * number`` with numbers from 1 for things and 0 for stuff.

    Raises:
        ValueError: There are not as many masks as scores and labels, or they have another size than ``sem_seg``.
    """
    if not len(masks) == len(scores) == len(labels):
        raise ValueError(f'{len(masks)} masks, {len(scores)} scores and {len(labels)} labels do not go together')
    # Stuff first, and the instances over it from the best on, each where none is yet.
    is_stuff = (sem_seg >= num_things) & (sem_seg < num_evaluated)
    panoptic = np.where(is_stuff, sem_seg, num_evaluated).astype(np.int64)
    free = np.ones(panoptic.shape, dtype=bool)
    order = np.argsort(-np.asarray(scores), kind='stable')
    number = 0
    for index in order[np.asarray(scores)[order] >= score_thr].tolist():
        mask, (x, y) = _window(masks, index, panoptic.shape)
        place = np.s_[y : y + mask.shape[0], x : x + mask.shape[1]]
        visible = mask & free[place]
        shown = np.count_nonzero(visible)
        if shown == 0 or shown < min_visible * np.count_nonzero(mask):
            continue
        number += 1
        panoptic[place][visible] = int(labels[index]) + INSTANCE_OFFSET * number
        free[place] &= ~mask
    if min_stuff_area > 0:
        stuff = free & is_stuff
        area = np.bincount(sem_seg[stuff], minlength=num_evaluated)
        panoptic[stuff] = np.where(area >= min_stuff_area, np.arange(len(area)), num_evaluated)[sem_seg[stuff]]
    return panoptic


def _window(masks: Any, index: int, size: Sequence[int]) -> Window:
    if isinstance(masks, InstanceMasks):
        window, found = masks[index], tuple(masks.size)
    else:
        mask = decode_rle(masks[index]) if isinstance(masks, list) else np.asarray(masks[index], dtype=bool)
        window, found = Window(mask, (0, 0)), mask.shape
    if found != tuple(size):
        raise ValueError(f'masks of {found} do not fit a semantic map of {tuple(size)} (H, W)')
    return window
