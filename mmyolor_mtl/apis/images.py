"""Pictures of every kind as BGR arrays, or the reason why not."""

import http.client
import io
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import cv2
import mmcv
import numpy as np
from mmengine.fileio import get
from PIL import Image, ImageOps, UnidentifiedImageError

from mmyolor_mtl.datasets.validation.files import lacks_end

TIMEOUT = 30  # seconds that a server may be silent


@dataclass(eq=False)
class LoadedImage:
    """One picture, or why there is none.

    Attributes:
        name (str): Path, URL, or what else tells it from others.
        pixels (np.ndarray | None): BGR uint8 (H,W,3).
        error (str | None): What is wrong; ``pixels`` is None then.
        frame (int | None): Number of the frame, of a video or camera, counted from 0.
    """

    name: str
    pixels: np.ndarray | None = None
    error: str | None = None
    frame: int | None = None

    @property
    def stem(self) -> str:
        """Name for files made of this picture: no folder, suffix or blank."""
        path = self.name if self.frame is None else self.name.rpartition('#')[0]
        path = unquote(urlparse(path).path) if '://' in path else path
        number = '' if self.frame is None else f'_{self.frame:06d}'
        return f'{Path(path).stem or "image"}{number}'.replace(' ', '_')


def load_image(item: Any, number: int) -> LoadedImage:
    """Load a file, URL, array or Pillow image; whatever is wrong with it becomes ``error``.

    Args:
        item (str | Path | np.ndarray | PIL.Image.Image): What to load.
        number (int): Names what has no name.
    """
    kind = {np.ndarray: 'array', Image.Image: 'image'}
    name = next((f'{word} {number}' for cls, word in kind.items() if isinstance(item, cls)), str(item))
    try:
        if isinstance(item, np.ndarray):
            return LoadedImage(name, check_array(item))
        if isinstance(item, Image.Image):
            return LoadedImage(name, from_pillow(item))
        return LoadedImage(name, decode_image(read_bytes(name)))
    except OSError as error:
        return LoadedImage(name, error=f'cannot read {name}: {error.strerror or error}')
    except Exception as error:  # the decoders raise what they like on damaged files
        return LoadedImage(name, error=f'cannot use {name}: {error}')


def read_bytes(name: str) -> bytes:
    """Content of a local file, of a web address, or of what else MMEngine's file back ends reach.

    Raises:
        OSError: It cannot be read.
    """
    if '://' not in name:
        return Path(name).read_bytes()
    if not name.lower().startswith(('http://', 'https://')):
        return get(name)
    try:
        # MMEngine's back end would wait for a silent server for ever.
        with urllib.request.urlopen(name, timeout=TIMEOUT) as answer:
            return answer.read()
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f'{type(error).__name__}: {error}') from error


def decode_image(data: bytes) -> np.ndarray:
    """Decode a picture as training does: 8 bits, colour, turned upright; the first one of an animation.

    Grey becomes colour, an alpha channel is dropped, 16 bits are cut to 8.

    Args:
        data (bytes): A file of any format that OpenCV or Pillow reads.

    Returns:
        np.ndarray: BGR uint8 (H,W,3).

    Raises:
        OSError: The file is cut off, damaged, or no picture.
        ValueError: Its pixels are numbers of unknown range, or too many.
    """
    if not data:
        raise OSError('the file is empty')
    # OpenCV leaves pictures in WebP as they lie.
    is_webp = data[:4] == b'RIFF' and data[8:12] == b'WEBP'
    pixels = None if is_webp else mmcv.imfrombytes(data, flag='color')
    if pixels is not None and not lacks_end(data):
        return pixels
    # What lacks its end may have something else behind it, such as the clip of a phone's photo: Pillow knows.
    try:
        with Image.open(io.BytesIO(data)) as image:
            decoded = from_pillow(image)
    except UnidentifiedImageError:
        raise OSError('not an image, or damaged') from None
    return decoded if pixels is None else pixels


def from_pillow(image: Image.Image) -> np.ndarray:
    """BGR uint8 (H,W,3) of a Pillow image, turned upright as its EXIF data say.

    Raises:
        ValueError: Its pixels are numbers of unknown range.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I;16'):
        return check_array((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ('I', 'F'):
        raise ValueError(f'pixels of 32 bits (mode {image.mode}) have no fixed range: convert the image to 8 bits')
    return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])


def check_array(array: np.ndarray) -> np.ndarray:
    """BGR uint8 (H,W,3) of an array that is a picture.

    Raises:
        ValueError: It is none.
    """
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size:
        raise ValueError(
            f'it holds {array.dtype} in the shape {array.shape}; give uint8 as BGR (H,W,3), BGRA (H,W,4) or grey (H,W)'
        )
    if channels == 1:
        return cv2.cvtColor(array, cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(array[..., :3])
