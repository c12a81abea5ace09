"""COCO's panoptic files: PNGs that hold segment ids, and a JSON that explains them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmyolor_mtl.datasets.converters.files import read_json, write_json

from .functional import panoptic_quality, segment_statistics
from .map_files import write_png

MAX_SEGMENT_ID = 2**24 - 1
_ID_BYTES = np.array([1, 256, 65536])  # of R, G and B
_SHADE = 40


@dataclass
class Segments:
    """A panoptic map and what its ids mean: ``ids`` (H, W) int, 0 = void; category of each id; ids of crowds."""

    ids: np.ndarray
    categories: dict[int, int]
    crowds: set[int] = field(default_factory=set)


def segment_records(segments: Segments) -> list[dict[str, Any]]:
    """The ``segments_info`` of a map, in the order of their ids.

    Returns:
        list[dict]: ``id``, ``category_id``, ``area`` (px), ``bbox`` [x, y, w, h] (px) and ``iscrowd`` of each segment.
    """
    known = np.array(sorted(segments.categories), dtype=np.int64)
    places = np.searchsorted(known, segments.ids)
    # What has no category takes the place after the last.
    places[np.append(known, -1)[places] != segments.ids] = len(known)
    areas = np.bincount(places.ravel(), minlength=len(known) + 1)
    (top, bottom), (left, right) = (_extent(values, len(known) + 1) for values in (places, places.T))
    records = []
    for i in np.flatnonzero(areas[:-1]):
        box = [left[i], top[i], right[i] - left[i] + 1, bottom[i] - top[i] + 1]
        segment = int(known[i])
        records.append(
            {
                'id': segment,
                'category_id': segments.categories[segment],
                'area': int(areas[i]),
                'bbox': [int(value) for value in box],
                'iscrowd': int(segment in segments.crowds),
            }
        )
    return records


def colour_ids(segments: Segments, colours: Mapping[int, Sequence[int]]) -> Segments:
    """Give the segments ids that look like their categories when the PNG is opened as a picture, as COCO's do.

    Args:
        segments (Segments): Ids are small numbers.
        colours (Mapping[int, Sequence[int]]): RGB of the categories, 0..255; of several segments of one category all
            but the first are a little off.

    Returns:
        Segments: The same segments with other ids.
    """
    table = np.zeros(int(segments.ids.max(initial=0)) + 1, dtype=np.int64)
    renamed = Segments(table, {})
    for segment in sorted(segments.categories):
        category = segments.categories[segment]
        base, rng = np.array(colours[category]), np.random.default_rng(segment)
        number = int(base @ _ID_BYTES)
        while number in renamed.categories or number == 0:
            number = int(np.clip(base + rng.integers(-_SHADE, _SHADE + 1, 3), 0, 255) @ _ID_BYTES)
        table[segment] = number
        renamed.categories[number] = category
        if segment in segments.crowds:
            renamed.crowds.add(number)
    renamed.ids = table[segments.ids]
    return renamed


def write_panoptic_png(path: str | Path, ids: np.ndarray) -> None:
    """Write segment ids as R + 256 G + 65536 B, in one go.

    Args:
        path (str | Path): PNG to write; missing folders are made.
        ids (np.ndarray): (H, W) int in [0, 2^24), 0 = void.

    Raises:
        ValueError: An id does not fit into three bytes.
    """
    if ids.size and not 0 <= ids.min() <= ids.max() <= MAX_SEGMENT_ID:
        raise ValueError(f'{path}: segment ids {ids.min()} to {ids.max()} do not fit into the three bytes of a PNG')
    write_png(path, np.stack([ids >> 16, ids >> 8 & 255, ids & 255], axis=-1).astype(np.uint8))


def read_panoptic_png(path: str | Path) -> np.ndarray:
    """Read the segment ids of a panoptic PNG, (H, W) int64.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It cannot be decoded.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'panoptic map {path} does not exist')
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f'panoptic map {path} cannot be decoded')
    blue, green, red = (bgr[..., i].astype(np.int64) for i in range(3))
    return blue << 16 | green << 8 | red


def write_panoptic_json(
    path: str | Path, annotations: Sequence[Mapping], images: Sequence[Mapping], categories: Sequence[Mapping]
) -> None:
    """Write a COCO panoptic JSON in one go; missing folders are made.

    Args:
        path (str | Path): File to write.
        annotations (Sequence[Mapping]): ``image_id``, ``file_name`` of the PNG and ``segments_info`` of each image.
        images (Sequence[Mapping]): ``id``, ``height``, ``width`` and ``file_name`` of each image.
        categories (Sequence[Mapping]): ``id``, ``name`` and ``isthing`` of each category.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {'images': [*images], 'annotations': [*annotations], 'categories': [*categories]})


def read_panoptic_json(path: str | Path, folder: str | Path) -> dict[str, Any]:
    """Read a COCO panoptic JSON whose PNGs lie in ``folder``.

    Raises:
        FileNotFoundError: The file or the folder does not exist.
        ValueError: It is not valid JSON, or no panoptic JSON.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'panoptic annotation file {path} does not exist')
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'folder {folder} with the panoptic maps of {path} does not exist')
    content = read_json(path)
    annotations = content.get('annotations') if isinstance(content, dict) else None
    keys = ('image_id', 'file_name', 'segments_info')
    if not isinstance(annotations, list) or not all(key in ann for ann in annotations for key in keys):
        raise ValueError(f'{path} is no COCO panoptic file: it needs "annotations", each with {", ".join(keys)}')
    return content


def load_segments(
    annotation: Mapping[str, Any], folder: str | Path, ann_file: str | Path, categories: Collection[int]
) -> Segments:
    """Read the segments of one image.

    Args:
        annotation (Mapping): An entry of the JSON's ``annotations``.
        folder (str | Path): Where its PNG lies.
        ann_file (str | Path): The JSON, for messages.
        categories (Collection[int]): Evaluated categories; segments of others are void.

    Raises:
        FileNotFoundError: The PNG does not exist.
        ValueError: It cannot be decoded, or holds an id that the JSON does not list.
    """
    path = Path(folder) / annotation['file_name']
    if not path.is_file():
        raise FileNotFoundError(f'panoptic map {path} of image {annotation["image_id"]} does not exist')
    ids = read_panoptic_png(path)
    explained = {segment['id'] for segment in annotation['segments_info']}
    runs = ids.ravel()[np.flatnonzero(np.diff(ids.ravel(), prepend=-1))]  # far fewer to sort than pixels
    unknown = set(np.unique(runs).tolist()) - explained - {0}
    if unknown:
        raise ValueError(f'{path} holds the segment ids {sorted(unknown)[:5]}, which {ann_file} does not list')
    known = [segment for segment in annotation['segments_info'] if segment['category_id'] in categories]
    return Segments(ids, {s['id']: s['category_id'] for s in known}, {s['id'] for s in known if s.get('iscrowd', 0)})


def score_panoptic_files(
    ann_file: str | Path,
    result_file: str | Path,
    ann_folder: str | Path | None = None,
    result_folder: str | Path | None = None,
) -> dict[str, float]:
    """Panoptic quality of result files.

    Args:
        ann_file (str | Path): Ground truth; its ``categories`` say what counts, and what is a thing (``isthing``).
        result_file (str | Path): Results.
        ann_folder (str | Path, optional): PNGs of the ground truth; defaults to ``ann_file`` without '.json'.
        result_folder (str | Path, optional): PNGs of the results; defaults to ``result_file`` without '.json'.

    Returns:
        dict[str, float]: As :func:`~mmyolor_mtl.evaluation.functional.panoptic_quality`.

    Raises:
        FileNotFoundError: A file or folder does not exist.
        ValueError: A file is not of its kind, or the results lack an image.
    """
    ann_folder, result_folder = (
        Path(path).with_suffix('') if folder is None else folder
        for path, folder in ((ann_file, ann_folder), (result_file, result_folder))
    )
    truth, result = read_panoptic_json(ann_file, ann_folder), read_panoptic_json(result_file, result_folder)
    if not isinstance(truth.get('categories'), list):
        raise ValueError(f'{ann_file} has no list "categories", which says what is a thing')
    categories = {category['id'] for category in truth['categories']}
    predicted = {annotation['image_id']: annotation for annotation in result['annotations']}
    statistics = []
    for annotation in truth['annotations']:
        if annotation['image_id'] not in predicted:
            raise ValueError(f'{result_file} lacks image {annotation["image_id"]!r} of {ann_file}')
        gt = load_segments(annotation, ann_folder, ann_file, categories)
        pred = load_segments(predicted[annotation['image_id']], result_folder, result_file, categories)
        statistics.append(segment_statistics(pred.ids, pred.categories, gt.ids, gt.categories, gt.crowds))
    return panoptic_quality(statistics, {c['id'] for c in truth['categories'] if c.get('isthing', 0)})


def _extent(places: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last row in which each of ``count`` segments lies; ``places`` (H, W) int numbers them from 0."""
    height = len(places)
    rows = np.arange(height)[:, None] + height * places
    present = np.bincount(rows.ravel(), minlength=count * height).reshape(count, height) > 0
    return present.argmax(1), height - 1 - present[:, ::-1].argmax(1)
