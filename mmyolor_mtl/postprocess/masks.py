"""Instance masks from coefficients and prototypes (REFERENCE_SPEC 6.2).

A mask is zero outside its box, so it is computed only there: the same pixels for a tenth of the time, and the objects
of a large picture never exist at full size together.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from mmyolor_mtl.structures.rle import Rle, encode_window

from .placement import Placement

_AT_ONCE = 64  # masks at the resolution of the prototypes


class Window(NamedTuple):
    """A mask where it is not empty: bool (h, w) whose top left pixel lies at ``corner`` (x, y) of the picture."""

    mask: np.ndarray
    corner: tuple[int, int]


class InstanceMasks:
    """K masks of one picture, kept as small windows of the network's input and enlarged one by one.

    Args:
        windows (Sequence[Window]): Masks in the part of the input that shows the picture.
        placement (Placement): Where that part lies, and the size (H, W) of the original picture.
    """

    def __init__(self, windows: Sequence[Window], placement: Placement) -> None:
        self._windows = windows
        self._shown = placement.shown
        self.size = placement.image

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Window:
        """One mask in pixels of the original picture."""
        window = self._windows[index]
        return window if self._shown == self.size else _enlarge(window, self._shown, self.size)

    def __iter__(self) -> Iterator[Window]:
        return (self[index] for index in range(len(self)))

    def to_array(self) -> np.ndarray:
        """All masks, (K, H, W) bool."""
        masks = np.zeros((len(self), *self.size), dtype=bool)
        for canvas, (mask, (x, y)) in zip(masks, self, strict=True):
            canvas[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
        return masks

    def to_rle(self) -> list[Rle]:
        """All masks as COCO run lengths, however large the picture."""
        return [encode_window(mask, corner, self.size) for mask, corner in self]


def assemble_masks(
    coefficients: np.ndarray, prototypes: np.ndarray, boxes: np.ndarray, stride: int, placement: Placement
) -> InstanceMasks:
    """Combine prototypes, upsample to the input, crop to the boxes, cut at 0.5 and undo the letterbox.

    Args:
        coefficients (np.ndarray): (K, M) float.
        prototypes (np.ndarray): (M, h, w) float, over the network's input.
        boxes (np.ndarray): (K, 4) xyxy px of the network's input. A pixel belongs to a box when
            x1 <= column < x2 and y1 <= row < y2.
        stride (int): Input px a cell of the prototypes.
        placement (Placement): Where the picture lies in the input.

    Returns:
        InstanceMasks: K masks in the space of the original picture.
    """
    height, width = prototypes.shape[1:]
    (top, left), (rows, columns) = placement.corner, placement.shown
    # The half-open test on whole columns and rows; what the bars of the letterbox cover is cut off at once.
    low = np.array([left, top, left, top])
    high = low + np.array([columns, rows, columns, rows])
    limits = np.clip(np.ceil(np.nan_to_num(boxes)), low, high).astype(int)
    flat = np.ascontiguousarray(prototypes, dtype=np.float32).reshape(len(prototypes), -1)
    coefficients = np.asarray(coefficients, dtype=np.float32)
    windows = []
    for start in range(0, len(coefficients), _AT_ONCE):
        logits = (coefficients[start : start + _AT_ONCE] @ flat).reshape(-1, height, width)
        for plane, (x1, y1, x2, y2) in zip(logits, limits[start : start + _AT_ONCE].tolist(), strict=True):
            mask = _upsample(plane, (x1, y1, x2, y2), stride) > 0.5
            windows.append(Window(mask, (x1 - left, y1 - top)))
    return InstanceMasks(windows, placement)


def _upsample(logits: np.ndarray, box: tuple[int, int, int, int], stride: int) -> np.ndarray:
    """Probabilities inside a box of the input, from the cells around it."""
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return np.zeros((max(y2 - y1, 0), max(x2 - x1, 0)), dtype=np.float32)
    # One cell more on each side is all that bilinear interpolation looks at; at the border it repeats the last, too.
    left, top = max(x1 // stride - 1, 0), max(y1 // stride - 1, 0)
    cells = logits[top : y2 // stride + 2, left : x2 // stride + 2]
    soft = 1 / (1 + np.exp(-np.clip(cells, -80, 80)))
    full = cv2.resize(soft, None, fx=stride, fy=stride, interpolation=cv2.INTER_LINEAR)
    x, y = x1 - left * stride, y1 - top * stride
    return full[y : y + y2 - y1, x : x + x2 - x1]


def _enlarge(window: Window, shown: tuple[int, int], size: tuple[int, int]) -> Window:
    """Resize the mask of a whole picture bilinearly from ``shown`` to ``size``, looking only where it is not empty."""
    # A rim of zeros stands for the rest of the picture.
    padded = np.pad(window.mask.astype(np.float32), 1)
    (rows, columns), (left, top) = window.mask.shape, window.corner
    y, y_low, y_high, y_weight = _axis(top, rows, shown[0], size[0])
    x, x_low, x_high, x_weight = _axis(left, columns, shown[1], size[1])
    lines = padded[y_low] * (1 - y_weight)[:, None] + padded[y_high] * y_weight[:, None]
    values = lines[:, x_low] * (1 - x_weight) + lines[:, x_high] * x_weight
    return Window(values >= 0.5, (x, y))


def _axis(start: int, length: int, shown: int, size: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Along one axis: the first pixel that the window reaches, and of each pixel the two neighbours and the weight."""
    scale = size / shown
    first = max(int(np.floor((start - 0.5) * scale - 0.5)), 0)
    last = min(int(np.ceil((start + length + 0.5) * scale - 0.5)), size - 1)
    source = np.clip((np.arange(first, last + 1) + 0.5) / scale - 0.5, 0, shown - 1)
    low = np.floor(source).astype(int)
    high = np.minimum(low + 1, shown - 1)
    # Places in the window with its rim; whatever lies farther away is as empty as the rim.
    places = (np.clip(part - start + 1, 0, length + 1) for part in (low, high))
    return first, *places, (source - low).astype(np.float32)
