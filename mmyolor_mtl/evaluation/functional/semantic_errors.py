"""Which class of pixels is taken for which."""

import numpy as np


def pixel_confusion(prediction: np.ndarray, target: np.ndarray, num_classes: int, num_predicted: int) -> np.ndarray:
    """Count pixels by true and predicted class.

    Args:
        prediction (np.ndarray): (H, W) int class ids in [0, num_predicted).
        target (np.ndarray): (H, W) int class ids; pixels with other ids than [0, num_classes) are left out.
        num_classes (int): Number of evaluated classes S.
        num_predicted (int): Number of classes P that may be predicted, those of no use at the end.

    Returns:
        np.ndarray: (S, P) int64.

    Raises:
        ValueError: The maps differ in shape, or a predicted id is too high.
    """
    if prediction.shape != target.shape:
        raise ValueError(f'the predicted map is {prediction.shape}, the ground truth {target.shape} (H, W)')
    labelled = (target >= 0) & (target < num_classes)
    predicted = prediction[labelled].astype(np.int64)
    if predicted.size and predicted.max() >= num_predicted:
        raise ValueError(f'class {predicted.max()} is predicted, but there are {num_predicted}')
    pairs = target[labelled].astype(np.int64) * num_predicted + predicted
    return np.bincount(pairs, minlength=num_classes * num_predicted).reshape(num_classes, num_predicted)


def confusion_counts(confusion: np.ndarray) -> np.ndarray:
    """The counts (3, S) of :func:`~mmyolor_mtl.evaluation.functional.pixel_counts` in a (S, P) confusion."""
    of_pred = confusion[:, : len(confusion)].sum(axis=0)
    return np.stack([np.diagonal(confusion), of_pred, confusion.sum(axis=1)])


def most_confused(confusion: np.ndarray, number: int) -> list[tuple[int, int, int]]:
    """The pairs (true class, predicted class, count) off the diagonal of a (R, C) confusion, most frequent first."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind='stable')[:number]
    rows, columns = np.unravel_index(order, wrong.shape)
    return [(int(r), int(c), int(wrong[r, c])) for r, c in zip(rows, columns, strict=True) if wrong[r, c]]
