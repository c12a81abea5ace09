"""COCO's files of captions: references, and results of a system."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmyolor_mtl.datasets.converters.files import read_json, write_json


def read_references(path: str | Path) -> dict[Any, list[str]]:
    """Read a COCO caption file.

    Args:
        path (str | Path): JSON with ``annotations``, each with ``image_id`` and ``caption``; ``images`` may be absent.

    Returns:
        dict[Any, list[str]]: The references of each image id; an image of ``images`` without captions has none.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not valid JSON, not a caption file, or holds no captions.
    """
    content = read_json(path)
    annotations = content.get('annotations') if isinstance(content, dict) else None
    images = content.get('images', []) if isinstance(content, dict) else None
    if not isinstance(annotations, list) or not isinstance(images, list):
        hint = (
            ': it looks like a result file, is the order of the arguments right?'
            if _looks_like_results(content)
            else ''
        )
        raise ValueError(f'{path} is no COCO caption file, it has no list "annotations"{hint}')
    references: dict[Any, list[str]] = {
        image['id']: [] for image in images if isinstance(image, dict) and 'id' in image
    }
    for i, annotation in enumerate(annotations):
        image_id, caption = _entry(annotation, f'{path}: annotation {i}')
        references.setdefault(image_id, []).append(caption)
    if not any(references.values()):
        raise ValueError(f'{path} holds no captions')
    return references


def read_results(path: str | Path) -> dict[Any, str]:
    """Read a COCO result file of captions.

    Args:
        path (str | Path): JSON list of ``{"image_id": ..., "caption": ...}``, one an image.

    Returns:
        dict[Any, str]: The caption of each image id, in the file's order.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not valid JSON, not a list of results, empty, or has several captions of one image.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise ValueError(f'{path} is no COCO result file: it must be a list of {{"image_id": ..., "caption": ...}}')
    if not content:
        raise ValueError(f'{path} holds no results')
    results: dict[Any, str] = {}
    repeated = []
    for i, result in enumerate(content):
        image_id, caption = _entry(result, f'{path}: result {i}')
        if image_id in results:
            repeated.append(image_id)
        results[image_id] = caption
    if repeated:
        raise ValueError(f'{path} has more than one caption of {name_images(repeated)}: keep one an image')
    return results


def write_results(path: str | Path, captions: Mapping[Any, str]) -> None:
    """Write a COCO result file, in one go; missing folders are made.

    Args:
        path (str | Path): File to write.
        captions (Mapping[Any, str]): The caption of each image id.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_json(path, [{'image_id': image_id, 'caption': caption} for image_id, caption in captions.items()])


def name_images(image_ids: list, shown: int = 5) -> str:
    """How many images there are, and the first of their ids: ``7 images (1, 2, 3, 4, 5, ...)``."""
    ids = ', '.join(repr(image_id) for image_id in image_ids[:shown])
    more = ', ...' if len(image_ids) > shown else ''
    return f'{len(image_ids)} image{"s" if len(image_ids) > 1 else ""} ({ids}{more})'


def _entry(entry: Any, place: str) -> tuple[Any, str]:
    if not isinstance(entry, dict) or not isinstance(entry.get('image_id'), (int, str)):
        raise ValueError(f'{place} has no "image_id": {entry!r:.120}')
    if not isinstance(entry.get('caption'), str):
        raise ValueError(f'{place} (image {entry["image_id"]!r}) has no text "caption": {entry!r:.120}')
    return entry['image_id'], entry['caption']


def _looks_like_results(content: Any) -> bool:
    return isinstance(content, list) and bool(content) and isinstance(content[0], dict) and 'caption' in content[0]
