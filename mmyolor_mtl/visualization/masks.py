"""Masks of objects, drawn one at a time and at the size they are shown at.

Two hundred masks of a photograph of 4000 x 6000 px would fill 4.8 GB as arrays; as polygons or run lengths they are
small, and a picture needs them at a thousand pixels.
"""

from typing import Any

import cv2
import numpy as np
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmyolor_mtl.structures import decode_rle
from mmyolor_mtl.utils.arrays import to_numpy

# A bool (h, w) piece of a mask that holds all of it, and the (x, y) of its corner.
Window = tuple[np.ndarray, tuple[int, int]]


class Masks:
    """Masks of K objects of one image, in any of the forms that samples carry.

    Args:
        source (Any): Tensor or array (K,H,W), mmdet's ``BitmapMasks`` or ``PolygonMasks``, or a list of COCO RLE.
        chosen (np.ndarray, optional): (k,) numbers of the masks to take, in this order. Defaults to None: all.
    """

    def __init__(self, source: Any, chosen: np.ndarray | None = None) -> None:
        self._source = source.masks if isinstance(source, BitmapMasks) else source
        self._chosen = np.arange(len(source)) if chosen is None else chosen

    def __len__(self) -> int:
        """Number of masks."""
        return len(self._chosen)

    @property
    def shape(self) -> tuple[int, int] | None:
        """(H, W) of the image they belong to; None without masks."""
        if isinstance(self._source, PolygonMasks):
            return self._source.height, self._source.width
        if not len(self._source):
            return None
        height, width = self._source[0]['size'] if isinstance(self._source, list) else self._source.shape[1:]
        return int(height), int(width)

    def window(self, index: int, height: int, width: int) -> Window:
        """One mask at another size of the image.

        Args:
            index (int): Number of the mask.
            height (int): Height of the image as it is shown, px.
            width (int): Width of the image as it is shown, px.

        Returns:
            tuple: Bool (h, w) with the mask's pixels, (0, 0) if it has none, and the (x, y) of its corner.
        """
        number = int(self._chosen[index])
        if isinstance(self._source, PolygonMasks):
            return _fill(self._source.masks[number], (self._source.height, self._source.width), (height, width))
        mask = self._source[number]
        mask = decode_rle(mask) if isinstance(mask, dict) else to_numpy(mask).astype(bool, copy=False)
        if height > mask.shape[0]:  # smooth edges; only small images are enlarged
            return _crop(cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) >= 0.5)
        return _crop(sample(mask, height, width))


def sample(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map (H,W) at another size, each pixel with a value that the map has at that place."""
    if values.shape == (height, width):
        return values
    rows, columns = (
        ((np.arange(wanted) + 0.5) * given / wanted).astype(np.int64)
        for given, wanted in zip(values.shape, (height, width), strict=True)
    )
    return values[rows[:, None], columns]


def _crop(mask: np.ndarray) -> Window:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return mask[:0, :0], (0, 0)
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], (int(columns[0]), int(rows[0]))


def _fill(polygons: list[np.ndarray], given: tuple[int, int], wanted: tuple[int, int]) -> Window:
    """Fill polygons, flat (x, y, x, y, ...) px in an image of size ``given`` (H, W), in one of size ``wanted``."""
    scale = np.array(wanted[::-1]) / given[::-1]
    rings = [np.reshape(ring, (-1, 2)) * scale for ring in polygons if len(ring) >= 6]
    if not rings:
        return np.zeros((0, 0), bool), (0, 0)
    points = np.concatenate(rings)
    low = np.clip(np.floor(points.min(axis=0)), 0, wanted[::-1]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)), 0, wanted[::-1]).astype(int)
    mask = np.zeros((high - low)[::-1], np.uint8)
    if mask.size:
        for ring in rings:  # one by one: rings of an object add up
            # OpenCV has the centre of the first pixel at 0, annotations have it at 0.5.
            cv2.fillPoly(mask, [np.round((ring - low - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool), (int(low[0]), int(low[1]))
