"""Fitting pictures into frames, with OpenCV alone: data pipelines and exported networks share it."""

from typing import NamedTuple

import cv2
import numpy as np

PAD_VALUE = 114  # grey of all padding (REFERENCE_SPEC 4.2)


class Letterboxed(NamedTuple):
    """A picture in its frame.

    Attributes:
        pixels: (h, w) or (h, w, C) uint8, of the size of the frame.
        scale_factor: (w, h), by which the picture was scaled.
        padding: top, bottom, left, right px.
    """

    pixels: np.ndarray
    scale_factor: tuple[float, float]
    padding: tuple[int, int, int, int]


def letterbox(
    image: np.ndarray,
    scale: tuple[int, int],
    allow_scale_up: bool = True,
    pad_val: int = PAD_VALUE,
    area_shrink: bool = True,
) -> Letterboxed:
    """Fit a picture into a frame, keep its aspect, centre it on grey (REFERENCE_SPEC 4.2).

    Args:
        image (np.ndarray): (H, W) or (H, W, C) uint8.
        scale (tuple[int, int]): (w, h) of the frame, px.
        allow_scale_up (bool): Enlarge smaller pictures.
        pad_val (int): Grey of the padding, 0..255.
        area_shrink (bool): Average pixels when shrinking; otherwise bilinear.
    """
    shape = image.shape[:2]
    inner = fitted_size(shape, scale, allow_scale_up)
    padding = split_padding(inner, scale)
    shrinks = inner[0] < shape[0] or inner[1] < shape[1]
    method = cv2.INTER_AREA if shrinks and area_shrink else cv2.INTER_LINEAR
    pixels = pad_pixels(resize_pixels(image, inner, method), padding, pad_val)
    return Letterboxed(pixels, (inner[1] / shape[1], inner[0] / shape[0]), padding)


def fitted_size(shape: tuple[int, int], scale: tuple[int, int], allow_scale_up: bool = True) -> tuple[int, int]:
    """Size of an image that fits a frame and keeps its aspect (REFERENCE_SPEC 4.2).

    Args:
        shape (tuple[int, int]): (h, w) of the image, px.
        scale (tuple[int, int]): (w, h) of the frame, px.
        allow_scale_up (bool): Enlarge smaller images.

    Returns:
        tuple[int, int]: New (h, w), at least 1 px each, fractions cut off.
    """
    ratio = min(scale[0] / shape[1], scale[1] / shape[0])
    if not allow_scale_up:
        ratio = min(ratio, 1.0)
    # 640 / 427 * 427 is 639.99...: the small term keeps a full side full.
    return max(int(shape[0] * ratio + 1e-6), 1), max(int(shape[1] * ratio + 1e-6), 1)


def resize_pixels(pixels: np.ndarray, shape: tuple[int, int], interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Resize to (h, w) px; the same array if it has that size already."""
    if pixels.shape[:2] == tuple(shape):
        return pixels
    return cv2.resize(pixels, shape[::-1], interpolation=interpolation)


def split_padding(inner: tuple[int, int], scale: tuple[int, int]) -> tuple[int, int, int, int]:
    """Padding that centres (h, w) in a frame (w, h): top, bottom, left, right px; the odd pixel goes below or right."""
    free_h, free_w = scale[1] - inner[0], scale[0] - inner[1]
    return free_h // 2, free_h - free_h // 2, free_w // 2, free_w - free_w // 2


def pad_pixels(pixels: np.ndarray, padding: tuple[int, int, int, int], fill: int) -> np.ndarray:
    """Pad top, bottom, left, right px with a constant."""
    if not any(padding):
        return pixels
    return cv2.copyMakeBorder(pixels, *padding, cv2.BORDER_CONSTANT, value=(fill,) * 3)
