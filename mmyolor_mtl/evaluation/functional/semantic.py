"""Semantic segmentation: pixel counts and their figures, for all classes and by COCO's stuff challenge."""

import numpy as np
import torch
from mmseg.evaluation import IoUMetric

UNLABELLED = 255


def pixel_counts(pred: np.ndarray, gt: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pixels of each class in one image.

    These are the counts of mmseg's ``IoUMetric.intersect_and_union``, in whole numbers: in its float32 they stop at
    2^24, which a picture of 24 megapixels exceeds, and with a single class it takes every prediction for that class.

    Args:
        pred (np.ndarray): (H, W) int, predicted classes; values from ``num_classes`` on are wrong wherever they stand.
        gt (np.ndarray): (H, W) int, true classes; pixels of any value from ``num_classes`` on are left out.
        num_classes (int): Number of evaluated classes, S.

    Returns:
        np.ndarray: (3, S) int64: right, predicted and true pixels. Counts of several images may be added up.

    Raises:
        ValueError: The maps differ in shape.
    """
    if pred.shape != gt.shape:
        raise ValueError(f'the prediction is {pred.shape}, the semantic map {gt.shape} (H, W)')
    kept = gt < num_classes
    pred, gt = np.minimum(pred[kept], np.int64(num_classes)), gt[kept]
    return np.stack(
        [np.bincount(values, minlength=num_classes + 1)[:num_classes] for values in (gt[pred == gt], pred, gt)]
    )


def class_scores(counts: np.ndarray, only_true: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """IoU and recall of each class.

    Args:
        counts (np.ndarray): (3, S) sums of :func:`pixel_counts`.
        only_true (bool): Leave out classes that only occur in predictions, as COCO's stuff challenge does; otherwise
            their IoU is 0.

    Returns:
        tuple[np.ndarray, np.ndarray]: (S,) float64 IoU and recall in 0..1, NaN for a class that is left out.
    """
    right, of_pred, of_gt = torch.from_numpy(counts).double()
    scores = IoUMetric.total_area_to_metrics(right, of_pred + of_gt - right, of_pred, of_gt, ['mIoU'])
    iou = scores['IoU']
    return np.where(of_gt > 0, iou, np.nan) if only_true else iou, scores['Acc']


def semantic_scores(counts: np.ndarray, only_true: bool = False) -> dict[str, float]:
    """Figures of a data set.

    Args:
        counts (np.ndarray): (3, S) sums of :func:`pixel_counts`, with at least one true pixel.
        only_true (bool): See :func:`class_scores`.

    Returns:
        dict[str, float]: In 0..1: ``mIoU``, ``aAcc`` (share of right pixels), ``mAcc`` (mean recall of the classes),
        ``FWIoU`` (IoU weighted by true pixels).
    """
    iou, recall = class_scores(counts, only_true)
    right, _, of_gt = counts
    return {
        'mIoU': float(np.nanmean(iou)),
        'aAcc': float(right.sum() / of_gt.sum()),
        'mAcc': float(np.nanmean(recall)),
        'FWIoU': float(np.nansum(iou * of_gt) / of_gt.sum()),
    }


def stuff_labels(labels: np.ndarray, num_things: int, num_stuff: int, *, rest: int = UNLABELLED) -> np.ndarray:
    """Rename classes as COCO's stuff challenge does (REFERENCE_SPEC 6.4): stuff, and *other* for all things.

    Score the renamed maps with :func:`pixel_counts` of ``num_stuff + 1`` classes and ``only_true=True``. What is
    predicted as neither thing nor stuff counts as *other* (a result file gives *other* as the complement of all stuff),
    so call it with ``rest=num_stuff`` for a prediction.

    Args:
        labels (np.ndarray): (H, W) int contiguous classes: things, then stuff, then what is not evaluated.
        num_things (int): Number of things.
        num_stuff (int): Number of stuff classes.
        rest (int): Label of everything else.

    Returns:
        np.ndarray: (H, W) int64: stuff from 0 on, ``num_stuff`` for things.
    """
    last = num_things + num_stuff
    names = np.array([*[num_stuff] * num_things, *range(num_stuff), rest], dtype=np.int64)
    return names[np.minimum(labels, np.int64(last))]
