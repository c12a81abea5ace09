"""Checks of annotation and image files before training: one error that names files, ids and what to do."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

CHECK_LEVELS = ('none', 'header', 'decode')

_TAIL = 4096  # bytes; some cameras write a few after the end marker
_EXIF_ORIENTATION = 0x0112
_SHOWN = 5


class Problems:
    """Collects what is wrong with a data set and raises it as one error.

    Args:
        source (str): What is being checked, for the headline.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.found: list[str] = []

    def add(self, text: str) -> None:
        """Note one problem; the text names the file and the id."""
        self.found.append(text)

    def raise_if_any(self) -> None:
        """Raise if anything was noted.

        Raises:
            ValueError: Lists the first problems, how many there are, and what to do.
        """
        if not self.found:
            return
        lines = [f'  - {text}' for text in self.found[:_SHOWN]]
        if len(self.found) > _SHOWN:
            lines.append(f'  ... and {len(self.found) - _SHOWN} more')
        raise ValueError(
            f'{self.source}: {len(self.found)} problem(s) in the data\n' + '\n'.join(lines) + '\nCorrect or remove '
            "these entries. With check='none' in the dataset's config nothing is checked: broken images are then "
            'skipped with a warning during training.'
        )


def check_instances(content: Mapping, path: str, category_ids: Iterable[int], problems: Problems) -> None:
    """Check an instances JSON: ids, sizes, categories, boxes and polygons.

    Args:
        content (Mapping): Parsed JSON in COCO's layout.
        path (str): Its path, for messages.
        category_ids (Iterable[int]): Ids of the data set's thing classes.
        problems (Problems): Receives what is wrong.
    """
    sizes = _check_images(content, path, problems)
    known = set(category_ids)
    seen: set = set()
    for ann in content.get('annotations', ()):
        where = f'{path}: annotation {ann.get("id")} of image {ann.get("image_id")}'
        missing = [key for key in ('image_id', 'category_id', 'bbox') if key not in ann]
        if missing:
            problems.add(f'{where} has no {" and no ".join(missing)}')
            continue
        if 'id' in ann and ann['id'] in seen:
            problems.add(f'{where}: this annotation id occurs twice')
        seen.add(ann.get('id'))
        if ann['image_id'] not in sizes:
            problems.add(f'{where}: the file lists no image of this id')
        if ann['category_id'] not in known:
            problems.add(f'{where}: category id {ann["category_id"]} is not among the thing_ids of the metainfo')
        if len(ann['bbox']) != 4 or not np.isfinite(ann['bbox']).all():
            problems.add(f'{where}: bbox {ann["bbox"]} is not [x, y, width, height]')
        fault = _segmentation_fault(ann.get('segmentation'), sizes.get(ann['image_id']))
        if fault:
            problems.add(f'{where}: {fault}')


def _check_images(content: Mapping, path: str, problems: Problems) -> dict:
    """Check the image list and return (height, width) by id."""
    sizes: dict = {}
    for image in content.get('images', ()):
        missing = [key for key in ('id', 'file_name', 'height', 'width') if key not in image]
        if missing:
            problems.add(f'{path}: image {image.get("id", image.get("file_name"))} has no {" and no ".join(missing)}')
        elif image['id'] in sizes:
            problems.add(f'{path}: image id {image["id"]} ({image["file_name"]}) occurs twice')
        if 'id' in image:
            sizes[image['id']] = (image.get('height'), image.get('width'))
    return sizes


def _segmentation_fault(segmentation: object, size: tuple | None) -> str | None:
    if segmentation is None or segmentation == []:  # not annotated, which is allowed
        return None
    if isinstance(segmentation, dict):
        if size is not None and tuple(segmentation.get('size', ())) != size:
            return f'its RLE mask is of size {segmentation.get("size")} (h, w), the image of {list(size)}'
        return None
    if not isinstance(segmentation, list):
        return f'segmentation is a {type(segmentation).__name__}, neither polygons nor RLE'
    for polygon in segmentation:
        if not isinstance(polygon, list):
            return 'segmentation is not a list of polygons'
        if len(polygon) % 2:
            return f'a polygon has {len(polygon)} numbers, which is odd'
    if max(len(polygon) for polygon in segmentation) < 6:
        return 'no polygon has three points'
    return None


def check_captions(content: Mapping, path: str, instances: Mapping | None, ann_file: str, problems: Problems) -> None:
    """Check a captions JSON, alone and against the instances JSON.

    Args:
        content (Mapping): Parsed captions JSON in COCO's layout.
        path (str): Its path, for messages.
        instances (Mapping | None): Parsed instances JSON, if there is one.
        ann_file (str): Path of that, for messages.
        problems (Problems): Receives what is wrong.
    """
    _check_images(content, path, problems)
    own = {image['id']: image for image in content.get('images', ()) if 'id' in image}
    other = {image['id']: image for image in (instances or {}).get('images', ()) if 'id' in image}
    for image_id in own.keys() & other.keys():
        for key in ('file_name', 'height', 'width'):
            a, b = own[image_id].get(key), other[image_id].get(key)
            if a is not None and b is not None and a != b:
                problems.add(f'{path}: image {image_id} has {key} {a!r}, but {b!r} in {ann_file}')
    captioned = {ann.get('image_id') for ann in content.get('annotations', ())}
    if other and not (captioned | own.keys()) & other.keys():
        problems.add(
            f'{path}: belongs to other images (such as id {next(iter(captioned | own.keys()), None)}); none of them '
            f'is in {ann_file}'
        )
        return
    for ann in content.get('annotations', ()):
        where = f'{path}: caption {ann.get("id")} of image {ann.get("image_id")}'
        if not isinstance(ann.get('caption'), str):
            problems.add(f'{where} has no text')
        if ann.get('image_id') not in own and ann.get('image_id') not in other:
            problems.add(f'{where}: no file lists an image of this id')


def check_files(infos: Sequence[Mapping], level: str, known_values: np.ndarray, problems: Problems) -> None:
    """Check image files and semantic maps of some samples.

    Args:
        infos (Sequence[Mapping]): Samples with ``img_path``, ``img_id``, ``height``, ``width``, ``seg_map_path``.
        level (str): 'header' reads headers and the end of each file, 'decode' decodes everything.
        known_values (np.ndarray): (256,) bool, which values a semantic map may hold.
        problems (Problems): Receives what is wrong.
    """
    decode = level == 'decode'

    def check(info: Mapping) -> list[str]:
        found = []
        size = (info['height'], info['width'])
        fault = image_fault(info['img_path'], size, decode)
        if fault:
            found.append(f'{info["img_path"]} (image {info["img_id"]}): {fault}')
        if info.get('seg_map_path'):
            fault = semantic_map_fault(info['seg_map_path'], size, known_values, decode)
            if fault:
                found.append(f'{info["seg_map_path"]} (semantic map of image {info["img_id"]}): {fault}')
        return found

    with ThreadPoolExecutor(max_workers=8) as pool:
        for found in pool.map(check, infos):
            for text in found:
                problems.add(text)


def image_fault(path: str, size: tuple[int, int] | None = None, decode: bool = False) -> str | None:
    """Say what is wrong with an image file.

    Args:
        path (str): Local path.
        size (tuple[int, int], optional): Expected (h, w) in px, as the annotations have it.
        decode (bool): Decode all pixels rather than read header and end of file.

    Returns:
        str | None: The fault in words, None if there is none.
    """

    def whole() -> str | None:
        image = cv2.imread(path, cv2.IMREAD_COLOR)
        return 'cannot be decoded' if image is None else None

    return _file_fault(path, size, whole if decode else None)


def semantic_map_fault(path: str, size: tuple[int, int], known_values: np.ndarray, decode: bool = False) -> str | None:
    """Say what is wrong with a semantic map; arguments as for :func:`image_fault` and :func:`check_files`."""

    def whole() -> str | None:
        values = np.unique(read_semantic_map(path))
        foreign = values[~known_values[values]]
        if len(foreign):
            return f'holds ids that the metainfo does not have: {foreign[:8].tolist()} (category id - 1, as COCO-Stuff)'
        return None

    return _file_fault(path, size, whole if decode else None)


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


def _file_fault(path: str, size: tuple[int, int] | None, whole: Callable[[], str | None] | None) -> str | None:
    try:
        if not os.path.isfile(path):
            return 'no such file'
        with Image.open(path) as image:
            width, height = image.size
            kind = image.format
            turned = 'exif' in image.info and image.getexif().get(_EXIF_ORIENTATION) in (5, 6, 7, 8)
        if turned:  # the loader turns it upright
            width, height = height, width
        if size is not None and (height, width) != tuple(size):
            return f'is {width} x {height} px, the annotations say {size[1]} x {size[0]}'
        if is_truncated(path, kind):
            return f'broken {kind}: the end of the file is missing'
        return whole() if whole else None
    except UnidentifiedImageError:
        return 'not a readable image'
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for damaged files
        return str(error)


def is_truncated(path: str, kind: str | None = None) -> bool:
    """Whether a JPEG or PNG lacks its end marker (decoders fill the missing part with grey and say nothing)."""
    with open(path, 'rb') as file:
        if kind is None:
            start = file.read(4)
            kind = 'JPEG' if start[:2] == b'\xff\xd8' else 'PNG' if start == b'\x89PNG' else None
        marker = {'JPEG': b'\xff\xd9', 'PNG': b'IEND'}.get(kind or '')
        if marker is None:
            return False
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - _TAIL))
        return marker not in file.read()
