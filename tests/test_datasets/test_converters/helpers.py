"""Small images and annotations for the converters' tests."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def draw(path: Path, height: int = 40, width: int = 60) -> Path:
    """An image file with some noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


def shape(label: str, points: list, kind: str = 'polygon', **extra: Any) -> dict:
    """A shape as LabelMe writes it."""
    return {'label': label, 'points': points, 'group_id': None, 'shape_type': kind, 'flags': {}, **extra}


def rectangle(label: str, x1: float, y1: float, x2: float, y2: float, **extra: Any) -> dict:
    """A rectangle of LabelMe."""
    return shape(label, [[x1, y1], [x2, y2]], 'rectangle', **extra)


def labelme(folder: Path, stem: str, shapes: list[dict], size: tuple[int, int] = (40, 60), **extra: Any) -> Path:
    """An image and its LabelMe file."""
    draw(folder / f'{stem}.jpg', *size)
    content = {
        'version': '5.4.1',
        'flags': {},
        'shapes': shapes,
        'imagePath': f'{Path(stem).name}.jpg',
        'imageData': None,
    }
    path = folder / f'{stem}.json'
    path.write_text(json.dumps({**content, 'imageHeight': size[0], 'imageWidth': size[1], **extra}))
    return path


def read(path: Path) -> dict:
    """Parsed JSON."""
    return json.loads(path.read_text())


def by_class(content: dict, file_name: str) -> dict[str, list[dict]]:
    """Annotations of an image by the name of their class."""
    (image,) = (image for image in content['images'] if image['file_name'] == file_name)
    names = {category['id']: category['name'] for category in content['categories']}
    found: dict[str, list[dict]] = {}
    for annotation in content['annotations']:
        if annotation['image_id'] == image['id']:
            found.setdefault(names[annotation['category_id']], []).append(annotation)
    return found


def semantic(path: Path) -> np.ndarray:
    """A semantic map."""
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert values is not None and values.ndim == 2
    return values
