"""COCO run-length encodings in numpy.

pycocotools encodes whole pictures; a mask is mostly empty, so these functions look at the window that holds it. Results
are the same, and they work where only numpy is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

# {'size': [H, W], 'counts': str}, as in COCO's files.
Rle = dict[str, Any]

# A count is written in groups of five bits, the lowest first; the sixth says that more follow.
_BITS, _MORE, _FIRST_CHAR = 5, 32, 48


def encode_mask(mask: np.ndarray) -> Rle:
    """Run-length encoding of a mask.

    Args:
        mask (np.ndarray): (H, W), bool or 0 and 1.

    Returns:
        Rle: ``size`` [H, W] and ``counts``, a str so that it fits into JSON.
    """
    return encode_window(mask, (0, 0), mask.shape)


def encode_window(window: np.ndarray, corner: Sequence[int], size: Sequence[int]) -> Rle:
    """Run-length encoding of a mask that is empty outside a window.

    Args:
        window (np.ndarray): (h, w), bool or 0 and 1.
        corner (Sequence[int]): (x, y) of its top left pixel in the picture.
        size (Sequence[int]): (H, W) of the picture.

    Raises:
        ValueError: The window does not lie in the picture.
    """
    (x, y), (height, width) = corner, (int(side) for side in size)
    rows, columns = window.shape
    if x < 0 or y < 0 or x + columns > width or y + rows > height:
        raise ValueError(f'a window of {window.shape} at x={x}, y={y} does not lie in a picture of {height, width}')
    padded = np.zeros((columns, rows + 2), dtype=np.int8)
    padded[:, 1:-1] = window.T  # runs go down the columns
    column, row = np.nonzero(np.diff(padded, axis=1))
    edges = (column + x) * height + row + y
    # A run that goes on at the top of the next column has no edge there.
    double = edges[1:] == edges[:-1]
    keep = edges < height * width
    keep[1:] &= ~double
    keep[:-1] &= ~double
    counts = np.diff(edges[keep], prepend=0, append=height * width)
    return {'size': [height, width], 'counts': _write_counts(counts)}


def decode_rle(rle: Rle) -> np.ndarray:
    """Mask (H, W) bool of a run-length encoding.

    Args:
        rle (Rle): ``counts`` as str, bytes, or a list of numbers.

    Raises:
        ValueError: The runs do not fill the picture.
    """
    height, width = rle['size']
    counts = rle['counts']
    if isinstance(counts, str | bytes):
        counts = _read_counts(counts.encode('ascii') if isinstance(counts, str) else counts)
    counts = np.asarray(counts, dtype=np.int64)
    if counts.sum() != height * width or (counts < 0).any():
        raise ValueError(f'run lengths add up to {counts.sum()}, not to the {height} x {width} pixels of the picture')
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def _write_counts(counts: np.ndarray) -> str:
    # From the fourth on, a count is written as its difference from the count before the last.
    values = counts.copy()
    values[3:] -= counts[1:-2]
    groups, open_ = [], np.ones(len(values), dtype=bool)
    while open_.any():
        group = values & (2**_BITS - 1)
        values >>= _BITS
        # The highest bit of the last group is the sign.
        more = np.where(group & 2 ** (_BITS - 1), values != -1, values != 0)
        groups.append(np.where(open_, group + _MORE * more + _FIRST_CHAR, 0))
        open_ = open_ & more
    chars = np.stack(groups, axis=1).ravel()
    return chars[chars > 0].astype(np.uint8).tobytes().decode('ascii')


def _read_counts(text: bytes) -> np.ndarray:
    chars = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - _FIRST_CHAR
    last = (chars & _MORE) == 0
    if not len(chars) or not last[-1]:
        raise ValueError('run lengths are cut off')
    first = np.flatnonzero(np.r_[True, last[:-1]])
    place = np.arange(len(chars)) - np.repeat(first, np.diff(np.r_[first, len(chars)]))
    values = np.add.reduceat((chars & (_MORE - 1)) << (_BITS * place), first)
    negative = (chars[last] & 2 ** (_BITS - 1)) > 0
    values -= np.where(negative, np.int64(1) << (_BITS * (place[last] + 1)), 0)
    # Odd and even counts are sums of their own, from the second and the third on.
    counts = values.copy()
    counts[1::2] = np.cumsum(values[1::2])
    counts[2::2] = np.cumsum(values[2::2])
    return counts
