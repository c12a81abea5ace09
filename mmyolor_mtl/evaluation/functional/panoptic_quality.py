"""Panoptic quality (Kirillov et al., CVPR 2019) by the rules of COCO's panopticapi."""

from collections.abc import Collection, Iterable, Mapping

import numpy as np

VOID = 0
QUALITIES = ('PQ', 'SQ', 'RQ')
_MATCH_IOU = 0.5
_FIELDS = ('category', 'iou', 'tp', 'fp', 'fn')


def segment_statistics(
    pred_map: np.ndarray,
    pred_categories: Mapping[int, int],
    gt_map: np.ndarray,
    gt_categories: Mapping[int, int],
    crowd_ids: Collection[int] = (),
) -> np.ndarray:
    """Match the segments of one image and count hits and misses of each category.

    A prediction matches a ground-truth segment of its category when their IoU, void pixels of the ground truth left
    out, exceeds 0.5 (so each has one match at most). A prediction that lies by more than half on void or on crowds of
    its category is no mistake; a crowd is never missed.

    Args:
        pred_map (np.ndarray): (H, W) int, id of the predicted segment at each pixel, 0 = void.
        pred_categories (Mapping[int, int]): Category of each predicted segment; ids without one count as void.
        gt_map (np.ndarray): (H, W) int, id of the true segment, 0 = void.
        gt_categories (Mapping[int, int]): Category of each true segment, crowds included; other ids count as void.
        crowd_ids (Collection[int]): Which true segments are crowds.

    Returns:
        np.ndarray: (categories, 5) float64 with rows ``category, sum of IoU, TP, FP, FN``; only categories that occur.

    Raises:
        ValueError: The maps differ in shape.
    """
    if pred_map.shape != gt_map.shape:
        raise ValueError(f'the predicted map is {pred_map.shape}, the ground truth {gt_map.shape} (H, W)')
    pred_runs, gt_runs, lengths = _runs(pred_map.ravel(), gt_map.ravel())
    pred_index, pred_ids, pred_cats = _index(pred_runs, pred_categories)
    gt_index, gt_ids, gt_cats = _index(gt_runs, gt_categories)
    # Floats hold whole numbers exactly up to 2^53.
    overlap = np.bincount(
        gt_index * len(pred_ids) + pred_index, weights=lengths, minlength=len(gt_ids) * len(pred_ids)
    ).reshape(len(gt_ids), len(pred_ids))
    crowd = np.isin(gt_ids, list(crowd_ids))
    crowd[0] = False

    same = (gt_cats[:, None] == pred_cats[None, :]) & (gt_cats[:, None] != VOID)
    pred_area = overlap.sum(0)
    union = pred_area[None, :] + overlap.sum(1)[:, None] - overlap - overlap[0][None, :]
    # Where the categories agree a true segment is not void, so its union holds at least its own pixels.
    iou = np.where(same & ~crowd[:, None], overlap / np.maximum(union, 1), 0.0)
    matched = iou > _MATCH_IOU

    excused = overlap[0] + np.where(same & crowd[:, None], overlap, 0).sum(0)
    false_positive = (pred_cats != VOID) & ~matched.any(0) & (excused <= _MATCH_IOU * pred_area)
    false_negative = (gt_cats != VOID) & ~matched.any(1) & ~crowd

    rows = []
    for category in np.union1d(pred_cats, gt_cats[~crowd]):
        of_gt, of_pred = gt_cats == category, pred_cats == category
        hits = matched[of_gt]
        row = (category, iou[of_gt][hits].sum(), hits.sum(), false_positive[of_pred].sum(), false_negative[of_gt].sum())
        if category != VOID and any(row[2:]):
            rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, len(_FIELDS))


def panoptic_quality(statistics: Iterable[np.ndarray], thing_ids: Collection[int]) -> dict[str, float]:
    """Panoptic quality of a data set from its images' statistics.

    Args:
        statistics (Iterable[np.ndarray]): Results of :func:`segment_statistics`.
        thing_ids (Collection[int]): Categories of countable objects; all others are stuff.

    Returns:
        dict[str, float]: ``PQ, SQ, RQ`` over all categories that occur, ``*_th`` over things, ``*_st`` over stuff, each
        in [0, 1]; a group of which no category occurs is left out.
    """
    categories, *values = class_quality(statistics)
    things = np.isin(categories, list(thing_ids))
    quality: dict[str, float] = {}
    for suffix, chosen in (('', np.ones_like(things)), ('_th', things), ('_st', ~things)):
        if chosen.any():
            means = {name: float(value[chosen].mean()) for name, value in zip(QUALITIES, values, strict=True)}
            quality.update({name + suffix: value for name, value in means.items()})
    return quality


def class_quality(statistics: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Panoptic quality of each category.

    Args:
        statistics (Iterable[np.ndarray]): Results of :func:`segment_statistics`.

    Returns:
        tuple[np.ndarray, ...]: (categories,) ids of the categories that occur, and their PQ, SQ and RQ in [0, 1].
    """
    rows = np.concatenate([np.zeros((0, len(_FIELDS))), *statistics])
    categories, place = np.unique(rows[:, 0], return_inverse=True)
    iou, tp, fp, fn = (np.bincount(place, weights=rows[:, i], minlength=len(categories)) for i in range(1, 5))
    sq = iou / np.maximum(tp, 1)
    rq = tp / (tp + 0.5 * fp + 0.5 * fn)
    return categories.astype(np.int64), sq * rq, sq, rq


def _runs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where both stay the same they are one run: values of the two in each run, and its length; maps have few runs."""
    change = np.ones(len(first), dtype=bool)
    change[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    starts = np.flatnonzero(change)
    return first[starts], second[starts], np.diff(starts, append=len(first))


def _index(segments: np.ndarray, categories: Mapping[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number segments from 1, everything without a category becoming place 0 (void)."""
    ids, inverse = np.unique(segments, return_inverse=True)
    known = np.array([int(i) != VOID and categories.get(int(i), VOID) != VOID for i in ids], dtype=bool)
    places = np.where(known, np.cumsum(known), 0)
    kept = ids[known].astype(np.int64)
    cats = np.array([VOID, *(categories[int(i)] for i in kept)], dtype=np.int64)
    return places[inverse], np.array([VOID, *kept], dtype=np.int64), cats
