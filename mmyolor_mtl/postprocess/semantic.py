"""The semantic map from logits (REFERENCE_SPEC 6.3)."""

from collections.abc import Iterable

import cv2
import numpy as np

from .placement import Placement


def semantic_labels(logits: np.ndarray, stride: int, placement: Placement) -> np.ndarray:
    """Enlarge logits bilinearly to the picture and take the best class of each pixel.

    The logits are resized so that the part that shows the picture gets its size, then that part is cut out. Class by
    class: one plane of the picture's size at a time, and only of classes that can be best anywhere.

    Args:
        logits (np.ndarray): (S, h, w) float, over the network's input.
        stride (int): Input px a cell of the logits.
        placement (Placement): Where the picture lies in the input.

    Returns:
        np.ndarray: (H, W) uint16; of equal classes the first.
    """
    full, corner = resized_window(logits.shape[1:], stride, placement)
    classes = possible_classes(logits)
    planes = (_resize(logits[label], full, corner, placement.image) for label in classes)
    return best_labels(planes, classes)


def best_labels(planes: Iterable[np.ndarray], labels: Iterable[int]) -> np.ndarray:
    """Of planes (H, W) float32, given one after the other, the label of the highest at each pixel; (H, W)."""
    pairs = zip(planes, labels, strict=True)
    first, label = next(pairs)
    best = np.array(first)
    # Wide enough for any number of classes that fits into memory.
    found = np.full(best.shape, label, dtype=np.uint16)
    better = np.empty(best.shape, dtype=np.uint8)
    for plane, label in pairs:
        cv2.compare(plane, best, cv2.CMP_GT, dst=better)
        np.copyto(found, np.uint16(label), where=better.view(bool))
        cv2.max(plane, best, dst=best)
    return found


def possible_classes(logits: np.ndarray) -> np.ndarray:
    """Classes that can be best somewhere once the logits (S, h, w) are interpolated bilinearly.

    Inside a square of four cells the best class is above the mean of the classes that win at the corners, and that mean
    is above its smallest corner. A class whose largest corner stays below is out; out everywhere, it need not be looked
    at.
    """
    winners = best_labels(logits, range(len(logits)))
    rows, columns = (np.arange(side) for side in winners.shape)
    below, right = np.minimum(rows + 1, len(rows) - 1), np.minimum(columns + 1, len(columns) - 1)
    corners = [np.ix_(y, x) for y in (rows, below) for x in (columns, right)]
    means = [np.mean([logits[winners[other], y, x] for other in corners], axis=0) for y, x in corners]
    bound = np.min(means, axis=0)
    kernel = np.ones((2, 2), np.uint8)
    highest = (cv2.dilate(plane, kernel, anchor=(0, 0), borderType=cv2.BORDER_REPLICATE) for plane in logits)
    return np.flatnonzero([not (plane < bound).all() for plane in highest])


def resized_window(
    cells: tuple[int, ...], stride: int, placement: Placement
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Size (h, w) to which maps of ``cells`` (h, w) are resized, and where (y, x) the picture begins in them."""
    full, corner = [], []
    for axis in (0, 1):
        scale = placement.image[axis] / placement.shown[axis]
        begin = round(placement.corner[axis] * scale)
        full.append(max(round(cells[axis] * stride * scale), begin + placement.image[axis]))
        corner.append(begin)
    return (full[0], full[1]), (corner[0], corner[1])


def _resize(plane: np.ndarray, full: tuple[int, int], corner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """A window of the plane resized to ``full``, one axis after the other: the one with the wider bars goes first.

    Of a very wide picture the bars alone would otherwise be a hundred times the picture.
    """
    (y, x), (height, width) = corner, size
    if full[0] - height >= full[1] - width:
        lines = cv2.resize(plane, (plane.shape[1], full[0]), interpolation=cv2.INTER_LINEAR)[y : y + height]
        return cv2.resize(lines, (full[1], height), interpolation=cv2.INTER_LINEAR)[:, x : x + width]
    lines = cv2.resize(plane, (full[1], plane.shape[0]), interpolation=cv2.INTER_LINEAR)[:, x : x + width]
    return cv2.resize(lines, (width, full[0]), interpolation=cv2.INTER_LINEAR)[y : y + height]
