"""Results in the official forms of COCO's tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .rle import Rle, encode_mask
from .segments import INSTANCE_OFFSET

OTHER_ID = 183  # COCO's category of all pixels that are not stuff


def category_ids(dataset_meta: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Category ids of things and of stuff.

    Raises:
        ValueError: The classes have no ids.
    """
    ids = [list(dataset_meta.get(key) or ()) for key in ('thing_ids', 'stuff_ids')]
    for key, names in (('thing_ids', 'classes'), ('stuff_ids', 'stuff_classes')):
        if len(dataset_meta.get(key) or ()) != len(dataset_meta.get(names) or ()):
            raise ValueError(f'COCO results need the category ids of all classes: dataset_meta lacks {key}')
    return ids[0], ids[1]


def box_entries(boxes: np.ndarray, scores: np.ndarray, categories: Sequence[int]) -> list[dict[str, Any]]:
    """``bbox`` [x, y, w, h] in px, ``score`` and ``category_id`` of K boxes (K,4) xyxy."""
    sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64)
    rows = zip(sizes.tolist(), scores.tolist(), categories, strict=True)
    return [{'category_id': category, 'bbox': box, 'score': score} for box, score, category in rows]


def mask_entries(masks: Sequence[Rle], scores: np.ndarray, categories: Sequence[int]) -> list[dict[str, Any]]:
    """``segmentation`` (RLE), ``score`` and ``category_id`` of K masks."""
    rows = zip(masks, scores.tolist(), categories, strict=True)
    return [{'category_id': category, 'segmentation': mask, 'score': score} for mask, score, category in rows]


def stuff_entries(sem_seg: np.ndarray, num_things: int, stuff_ids: Sequence[int]) -> list[dict[str, Any]]:
    """``category_id`` and ``segmentation`` of each stuff class in a map (H,W), and of *other* for all other pixels."""
    labels = np.unique(sem_seg)
    is_stuff = (labels >= num_things) & (labels < num_things + len(stuff_ids))
    entries = [
        {'category_id': int(stuff_ids[label - num_things]), 'segmentation': encode_mask(sem_seg == label)}
        for label in labels[is_stuff].tolist()
    ]
    if not is_stuff.all():
        other = np.isin(sem_seg, labels[~is_stuff])
        entries.append({'category_id': OTHER_ID, 'segmentation': encode_mask(other)})
    return entries


def panoptic_entry(panoptic: np.ndarray, dataset_meta: Mapping[str, Any]) -> tuple[list[dict[str, int]], np.ndarray]:
    """COCO's panoptic form of a map.

    Stuff becomes panoptic categories through ``dataset_meta['panoptic_stuff']``: classes of one category merge, those
    that map to 0 become void.

    Args:
        panoptic (np.ndarray): (H,W) class + INSTANCE_OFFSET * number; classes beyond things and stuff are void.
        dataset_meta (Mapping): Names and ids.

    Returns:
        tuple: ``segments_info`` (``id``, ``category_id``, ``area``) and the PNG's pixels, RGB uint8 (H,W,3) with
        id = R + 256 G + 65536 B and 0 for void.
    """
    things, stuff = category_ids(dataset_meta)
    merged = dataset_meta.get('panoptic_stuff') or {}
    categories = np.array([*things, *(merged.get(category, category) for category in stuff), 0])
    values, inverse = np.unique(panoptic, return_inverse=True)
    labels = np.minimum(values % INSTANCE_OFFSET, len(categories) - 1)
    # A thing's id comes from its value, that of stuff from its category, below all things.
    first = int(categories.max()) + 1
    ids = np.where(labels < len(things), values + first, categories[labels])
    shown = ids[inverse].reshape(panoptic.shape)
    found, areas = np.unique(shown, return_counts=True)
    category_of = dict(zip(ids.tolist(), categories[labels].tolist(), strict=True))
    segments = [
        {'id': number, 'category_id': category_of[number], 'area': area}
        for number, area in zip(found.tolist(), areas.tolist(), strict=True)
        if number
    ]
    return segments, np.stack([shown % 256, shown // 256 % 256, shown // 65536], axis=2).astype(np.uint8)
