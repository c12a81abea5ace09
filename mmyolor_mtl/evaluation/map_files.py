"""Maps as PNG files, and semantic maps in the form of COCO's stuff challenge."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmyolor_mtl.datasets.converters.files import read_coco, read_json
from mmyolor_mtl.datasets.label_space import UNLABELLED
from mmyolor_mtl.datasets.semantic_maps import STUFF_OTHER_ID, paint
from mmyolor_mtl.structures import encode_mask

from .functional import pixel_counts, semantic_scores


def write_png(path: str | Path, pixels: np.ndarray) -> None:
    """Write a PNG in one go; missing folders are made.

    Args:
        path (str | Path): File to write.
        pixels (np.ndarray): (H, W) or (H, W, 3) BGR, uint8.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        draft.write_bytes(cv2.imencode('.png', pixels)[1].tobytes())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def semantic_png(labels: np.ndarray, category_ids: Sequence[int]) -> np.ndarray:
    """Pixels of a semantic map as it is written: the category id of each pixel, 0 for what is no evaluated class.

    Args:
        labels (np.ndarray): (H, W) int contiguous classes.
        category_ids (Sequence[int]): Category id of each evaluated class, in [1, 254].

    Returns:
        np.ndarray: (H, W) uint8. The data set reads it with ``seg_map_values='category_id'``.
    """
    return np.array([*category_ids, 0], dtype=np.uint8)[np.minimum(labels, len(category_ids))]


def stuff_results(labels: np.ndarray, num_things: int, stuff_ids: Sequence[int], other_id: int) -> list[dict[str, Any]]:
    """Results of one image for COCO's stuff challenge (REFERENCE_SPEC 6.4).

    Args:
        labels (np.ndarray): (H, W) int contiguous classes: things, then stuff, then anything else.
        num_things (int): Number of things.
        stuff_ids (Sequence[int]): Category id of each stuff class.
        other_id (int): Category id of *other* (COCO: 183).

    Returns:
        list[dict]: ``category_id`` and ``segmentation`` (COCO RLE) of each stuff class in the map, and of *other*: all
        pixels that are not stuff (left out if there are none). The masks do not overlap and fill the picture.
    """
    stuff = labels - num_things
    present = [int(i) for i in np.flatnonzero(np.bincount(labels.ravel())) - num_things if 0 <= i < len(stuff_ids)]
    results = [{'category_id': int(stuff_ids[i]), 'segmentation': encode_mask(stuff == i)} for i in present]
    other = (stuff < 0) | (stuff >= len(stuff_ids))
    if other.any():
        results.append({'category_id': int(other_id), 'segmentation': encode_mask(other)})
    return results


def score_stuff_files(
    ann_file: str | Path, result_file: str | Path, other_id: int = STUFF_OTHER_ID
) -> dict[str, float]:
    """Score a result file of the stuff challenge against a stuff JSON (such as COCO's ``stuff_val2017.json``).

    Args:
        ann_file (str | Path): Ground truth: ``images`` and ``annotations`` of stuff classes and *other*; pixels without
            any are not evaluated.
        result_file (str | Path): Results, a list of ``image_id, category_id, segmentation``. An image without results
            is wrong everywhere.
        other_id (int): Category id of *other*.

    Returns:
        dict[str, float]: ``mIoU, aAcc, mAcc, FWIoU`` over the classes that occur in the ground truth, in 0..1.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: A file is not of its kind, results are of an unknown category or image, or nothing is labelled.
    """
    truth = read_coco(ann_file)
    images = {image['id']: image for image in truth['images']}
    used = {ann['category_id'] for ann in truth.get('annotations', ())}
    category_ids = used | {category['id'] for category in truth.get('categories', ())} | {other_id}
    index = {category: i for i, category in enumerate(sorted(category_ids))}
    of_truth = _by_image(truth.get('annotations', ()), images, index, ann_file)
    of_result = _by_image(_read_results(result_file), images, index, result_file)
    counts = np.zeros((3, len(index)), dtype=np.int64)
    for img_id, annotations in of_truth.items():
        size = images[img_id]['height'], images[img_id]['width']
        pred, gt = (_paint(segments, size, index) for segments in (of_result.get(img_id, ()), annotations))
        counts += pixel_counts(pred, gt, len(index))
    if not counts[2].any():
        raise ValueError(f'{ann_file} labels no pixel of any image')
    return semantic_scores(counts, only_true=True)


def _paint(segments: Iterable[Mapping], size: tuple[int, int], index: Mapping[int, int]) -> np.ndarray:
    canvas = np.full(size, UNLABELLED, dtype=np.uint8, order='F')
    for segment in segments:
        paint(canvas, segment['segmentation'], index[segment['category_id']])
    return canvas


def _by_image(segments: Iterable[Mapping], images: Mapping, index: Mapping, path: str | Path) -> dict[Any, list]:
    grouped: dict[Any, list] = {}
    for segment in segments:
        if segment['image_id'] not in images:
            raise ValueError(f'{path} has a segment on image {segment["image_id"]!r}, which the ground truth lacks')
        if segment['category_id'] not in index:
            raise ValueError(f'{path} has a segment of category {segment["category_id"]!r}, which is unknown')
        grouped.setdefault(segment['image_id'], []).append(segment)
    return grouped


def _read_results(path: str | Path) -> list[dict]:
    content = read_json(path)
    keys = ('image_id', 'category_id', 'segmentation')
    if not isinstance(content, list) or not all(isinstance(r, dict) and all(k in r for k in keys) for r in content):
        raise ValueError(f'{path} is no COCO result file: it must be a list of {{{", ".join(keys)}}}')
    return content
