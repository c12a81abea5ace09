"""From files and arrays to the input of an exported network, as the test pipeline does it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from mmyolor_mtl.utils.letterbox import letterbox

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm')
Input = str | Path | np.ndarray


@dataclass
class LoadedImage:
    """One picture, or why there is none.

    Attributes:
        name (str): Path, or what else tells it from others.
        pixels (np.ndarray | None): BGR uint8 (H,W,3).
        error (str | None): What is wrong; ``pixels`` is None then.
    """

    name: str
    pixels: np.ndarray | None = None
    error: str | None = None


class Batch(NamedTuple):
    """Input of the vision graph.

    Attributes:
        pixels: (B, 3, H, W) float32.
        regions: (B, 4) float32 xyxy px, the part of the input that shows each picture.
        metas: For each picture ``ori_shape``, ``img_shape`` (h, w), ``scale_factor`` (w, h) and ``pad_param`` (top,
            bottom, left, right), as in a sample's metainfo.
    """

    pixels: np.ndarray
    regions: np.ndarray
    metas: list[dict[str, Any]]


def list_inputs(inputs: Input | Sequence[Input]) -> list[Input]:
    """Files of a folder in alphabetical order, or the given files and arrays as a list.

    Raises:
        FileNotFoundError: The file or folder does not exist, or the folder or list holds no image.
    """
    if isinstance(inputs, np.ndarray):
        return [inputs]
    if not isinstance(inputs, str | Path):
        if not len(inputs):
            raise FileNotFoundError('the list of images is empty')
        return list(inputs)
    path = Path(inputs)
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist: give an image or a folder of images')
    if not path.is_dir():
        return [path]
    files: list[Input] = [file for file in sorted(path.iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise FileNotFoundError(f'folder {path} holds no image ({", ".join(IMAGE_SUFFIXES)})')
    return files


def load_image(item: Input, number: int) -> LoadedImage:
    """Load a file or array; whatever is wrong with it becomes ``error``.

    Args:
        item (str | Path | np.ndarray): What to load.
        number (int): Names an array.
    """
    if isinstance(item, np.ndarray):
        channels = item.shape[2] if item.ndim == 3 else 1
        if item.dtype != np.uint8 or item.ndim not in (2, 3) or channels not in (1, 3) or not item.size:
            text = f'it holds {item.dtype} in the shape {item.shape}; give uint8 as BGR (H,W,3) or grey (H,W)'
            return LoadedImage(f'array {number}', error=f'cannot use array {number}: {text}')
        return LoadedImage(f'array {number}', cv2.cvtColor(item, cv2.COLOR_GRAY2BGR) if channels == 1 else item)
    try:
        data = np.frombuffer(Path(item).read_bytes(), np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except OSError as error:
        return LoadedImage(str(item), error=f'cannot read {item}: {error.strerror or error}')
    except cv2.error as error:  # such as too many pixels
        return LoadedImage(str(item), error=f'cannot decode {item}: {error}')
    if pixels is None:
        return LoadedImage(str(item), error=f'cannot decode {item}: not an image, or damaged')
    return LoadedImage(str(item), pixels)


def input_size(scale: Sequence[int], divisor: int) -> tuple[int, int]:
    """(H, W) of the network's input for a letterbox of (w, h): the next multiples of the divisor."""
    width, height = (-(-side // divisor) * divisor for side in scale)
    return height, width


def make_batch(images: Sequence[Any], rule: Mapping[str, Any], form: Mapping[str, Any]) -> Batch:
    """Letterbox, normalise and stack pictures.

    Args:
        images (Sequence[np.ndarray]): BGR uint8 (H, W, 3).
        rule (Mapping): Arguments of :func:`~mmyolor_mtl.utils.letterbox.letterbox`.
        form (Mapping): ``mean`` and ``std`` (of the three channels of the input), ``swap_channels``, ``divisor`` of the
            input's sides and ``pad_value``, with which they are filled up.
    """
    height, width = input_size(rule['scale'], form['divisor'])
    pixels = np.full((len(images), 3, height, width), form['pad_value'], dtype=np.float32)
    mean, std = (np.array(form[key], np.float32)[:, None, None] for key in ('mean', 'std'))
    regions, metas = [], []
    for canvas, image in zip(pixels, images, strict=True):
        fitted = letterbox(image, **rule)
        rows, columns = fitted.pixels.shape[:2]
        planes = fitted.pixels.transpose(2, 0, 1)
        inside = canvas[:, :rows, :columns]
        np.subtract(planes[::-1] if form['swap_channels'] else planes, mean, out=inside)
        inside /= std
        top, bottom, left, right = fitted.padding
        regions.append((left, top, columns - right, rows - bottom))
        metas.append(
            dict(
                ori_shape=image.shape[:2],
                img_shape=(rows, columns),
                scale_factor=fitted.scale_factor,
                pad_param=fitted.padding,
            )
        )
    return Batch(pixels, np.array(regions, dtype=np.float32), metas)
