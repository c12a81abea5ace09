"""Objects and semantic maps out of COCO's panoptic PNGs."""

from collections.abc import Iterable

import cv2
import numpy as np
import pycocotools.mask as mask_utils

from .label_space import UNLABELLED
from .transforms.polygons import rle_to_polygons
from .validation import image_fault

_ID_BITS = 0xFFFFFF


class PanopticMap:
    """The segments of one image.

    Args:
        path (str): PNG that holds R + 256 G + 65536 B = segment id, 0 = void.
        size (tuple[int, int]): (h, w) of the image, px.

    Raises:
        ValueError: The file cannot be decoded or is of another size.
    """

    def __init__(self, path: str, size: tuple[int, int]) -> None:
        pixels = cv2.imread(path, cv2.IMREAD_COLOR)
        if pixels is None:
            raise ValueError(f'panoptic map {path} cannot be decoded')
        if pixels.shape[:2] != tuple(size):
            raise ValueError(
                f'panoptic map {path} is {pixels.shape[1]} x {pixels.shape[0]} px, its image {size[1]} x {size[0]}'
            )
        self.path = path
        # Four channels are one little-endian number, whose last byte is the opaque alpha.
        self.ids = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGBA).view('<u4')[..., 0] & _ID_BITS

    def semantic_map(self, segments: Iterable[tuple[int, int]]) -> np.ndarray:
        """Labels of all pixels.

        Args:
            segments (Iterable[tuple[int, int]]): (segment id, label) of each.

        Returns:
            np.ndarray: (H, W) uint8 labels, 255 for void.

        Raises:
            ValueError: The PNG holds a segment id that is not listed.
        """
        labels = np.full(self.ids.shape, UNLABELLED, dtype=np.uint8)
        unlisted = self.ids != 0
        for segment_id, label in segments:
            inside = self.ids == segment_id
            labels[inside] = label
            unlisted ^= inside
        if unlisted.any():
            foreign = np.unique(self.ids[unlisted])[:8].tolist()
            raise ValueError(f'panoptic map {self.path} holds segment ids {foreign} that its JSON does not list')
        return labels

    def polygons(self, segment_id: int) -> list[np.ndarray]:
        """Outline of a segment, as :func:`~mmyolor_mtl.datasets.transforms.polygons.rle_to_polygons` traces it."""
        inside = (self.ids == segment_id).view(np.uint8)
        x, y, w, h = cv2.boundingRect(inside)  # far less to trace than the whole picture
        rings = rle_to_polygons(mask_utils.encode(np.asfortranarray(inside[y : y + h, x : x + w])), h, w)
        return [ring + np.tile((x, y), len(ring) // 2) for ring in rings]


def panoptic_map_fault(path: str, size: tuple[int, int], segments: Iterable[tuple[int, int]]) -> str | None:
    """Say what is wrong with a panoptic PNG; arguments as for :class:`PanopticMap`.

    Returns:
        str | None: The fault in words, None if there is none.
    """
    fault = image_fault(path, size, decode=True)
    if fault:
        return f'{path}: {fault}'
    try:
        PanopticMap(path, size).semantic_map(segments)
    except ValueError as error:
        return str(error)
    return None
