"""Checks of image files and semantic maps, by their headers or by decoding them."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from .problems import Problem, Problems

CHECK_LEVELS = ('none', 'header', 'decode')

_THREADS = 8
_TAIL = 4096  # bytes; some cameras write a few after the end marker
_EXIF_ORIENTATION = 0x0112
_EXIF_TURNED = (5, 6, 7, 8)
_JPEG = ('JPEG', 'MPO')
_END_MARKERS = {b'\xff\xd8': b'\xff\xd9', b'\x89PNG': b'IEND'}  # JPEG and PNG, by their first bytes


def check_files(
    infos: Sequence[Mapping],
    level: str,
    known_values: np.ndarray,
    problems: Problems,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Check image files and semantic maps of some samples.

    Args:
        infos (Sequence[Mapping]): Samples with ``img_id``, ``img_path``, ``height``, ``width``, ``seg_map_path``;
            the paths may be None.
        level (str): 'header' reads headers and the end of each file, 'decode' decodes everything.
        known_values (np.ndarray): (256,) bool, which values a semantic map may hold.
        problems (Problems): Receives what is wrong.
        progress (Callable, optional): Called with the number of samples checked and of all.
    """
    decode = level == 'decode'

    def check(info: Mapping) -> list[Problem]:
        found = []
        size = (info['height'], info['width'])
        fault = image_fault(info['img_path'], size, decode) if info['img_path'] else None
        if fault:
            found.append(Problem('image file', f'{info["img_path"]} (image {info["img_id"]}): {fault}'))
        if info.get('seg_map_path'):
            fault = semantic_map_fault(info['seg_map_path'], size, known_values, decode)
            if fault:
                text = f'{info["seg_map_path"]} (semantic map of image {info["img_id"]}): {fault}'
                found.append(Problem('semantic map', text))
        return found

    in_threads(check, infos, problems, progress)


def in_threads(
    check: Callable[[Mapping], list[Problem]],
    items: Sequence[Mapping],
    problems: Problems,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Check files in several threads and note what is found, in the order of the items.

    Args:
        check (Callable): Returns the problems of one item.
        items (Sequence[Mapping]): What to check.
        problems (Problems): Receives what is wrong.
        progress (Callable, optional): Called with the number of items checked and of all.
    """
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        for done, found in enumerate(pool.map(check, items), start=1):
            problems.found.extend(found)
            if progress and (done % 200 == 0 or done == len(items)):
                progress(done, len(items))


def image_fault(path: str, size: tuple[int, int] | None = None, decode: bool = False) -> str | None:
    """Say what is wrong with an image file.

    Args:
        path (str): Local path.
        size (tuple[int, int], optional): Expected (h, w) in px, as the annotations have it.
        decode (bool): Decode all pixels rather than read header and end of file.

    Returns:
        str | None: The fault in words, None if there is none.
    """
    return _fault(lambda: _image_fault(path, size, decode))


def semantic_map_fault(path: str, size: tuple[int, int], known_values: np.ndarray, decode: bool = False) -> str | None:
    """Say what is wrong with a semantic map; arguments as for :func:`image_fault` and :func:`check_files`."""

    def check() -> str | None:
        fault = _image_fault(path, size, False)
        if fault:
            return fault
        with Image.open(path) as image:
            mode, kind = image.mode, image.format
        if mode not in ('L', 'P'):
            return f'is stored as {mode} ({kind}), a semantic map needs one channel of 8 bits'
        if kind in _JPEG:
            return 'is a JPEG, which alters the ids: a semantic map must be a PNG'
        if not decode:
            return None
        values = np.unique(read_semantic_map(path))
        foreign = values[~known_values[values]]
        if len(foreign):
            return f'holds ids that the metainfo does not have: {foreign[:8].tolist()} (category id - 1, as COCO-Stuff)'
        return None

    return _fault(check)


def read_semantic_map(path: str) -> np.ndarray:
    """Read a single-channel map as it is stored, palette images by their indices.

    Returns:
        np.ndarray: (H, W) uint8.

    Raises:
        ValueError: The file cannot be decoded or has several channels.
    """
    values = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if values is not None and values.ndim == 3:
        # OpenCV turns palette images into colours.
        with Image.open(path) as image:
            values = np.array(image) if image.mode == 'P' else values
    if values is None or values.ndim != 2 or values.dtype != np.uint8:
        raise ValueError(f'semantic map {path} is not a readable 8-bit image with one channel')
    return values


def upright_size(path: str) -> tuple[int, int]:
    """Size of an image as the loader turns it, read from its header where that tells.

    Returns:
        tuple[int, int]: (h, w) in px.

    Raises:
        OSError, ValueError: The file is missing or no image.
    """
    return _read_header(path)[1]


def is_truncated(path: str) -> bool:
    """Whether a JPEG, PNG or WebP lacks its end (decoders fill the missing part with grey and say nothing)."""
    with open(path, 'rb') as file:
        start = file.read(12)
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - _TAIL))
        return _lacks_end(start, file.read(), end)


def lacks_end(data: bytes) -> bool:
    """As :func:`is_truncated`, for the content of a file."""
    return _lacks_end(data[:12], data[-_TAIL:], len(data))


def _lacks_end(start: bytes, tail: bytes, size: int) -> bool:
    if start[:4] == b'RIFF' and start[8:] == b'WEBP':
        return size < int.from_bytes(start[4:8], 'little') + 8
    marker = next((marker for signature, marker in _END_MARKERS.items() if start.startswith(signature)), None)
    return marker is not None and marker not in tail


def _image_fault(path: str, size: tuple[int, int] | None, decode: bool) -> str | None:
    if not os.path.isfile(path):
        return 'no such file'
    if is_truncated(path):
        return 'broken image: the end of the file is missing'
    kind, (height, width) = _read_header(path)
    if size is not None and (height, width) != tuple(size):
        return f'is {width} x {height} px, the annotations say {size[1]} x {size[0]}'
    if kind not in ('JPEG', 'PNG', 'MPO') and not cv2.haveImageReader(path):
        return f'is a {kind}, which OpenCV cannot read'
    if decode:
        _decode(path)
    return None


def _read_header(path: str) -> tuple[str, tuple[int, int]]:
    """Format and upright (h, w)."""
    with Image.open(path) as image:
        width, height = image.size
        kind = image.format or ''
        tagged = kind == 'TIFF' or 'exif' in image.info
        turned = tagged and image.getexif().get(_EXIF_ORIENTATION) in _EXIF_TURNED
    if turned and kind not in _JPEG:  # whether OpenCV turns these depends on the format and its version
        height, width = _decode(path).shape[:2]
    elif turned:
        width, height = height, width
    return kind, (height, width)


def _decode(path: str) -> np.ndarray:
    """Decode as the pipeline does: from memory, in colour, turned upright."""
    data = np.fromfile(path, dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise ValueError('cannot be decoded')
    return image


def _fault(check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except UnidentifiedImageError:
        return 'not a readable image'
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, cv2.error) as error:
        return str(error)  # what Pillow and OpenCV raise for damaged files
