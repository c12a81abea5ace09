"""LabelMe's files, one JSON an image, to COCO's layout."""

import base64
import binascii
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..semantic_maps import paint
from .classes import ClassList, ordered
from .files import Findings, read_json
from .output import CocoWriter, encode_mask, finish, image_size, mask_object

_CIRCLE_POINTS = 64
_SHAPES = ('polygon', 'rectangle', 'circle', 'mask')


def convert_labelme(
    source: str | Path,
    out_dir: str | Path,
    things: Sequence[str] | None = None,
    stuff: Sequence[str] = (),
    *,
    images: str = 'link',
    skip_bad: bool = False,
) -> tuple[dict[str, int], Findings]:
    """Convert a folder of LabelMe files.

    Polygons, rectangles, circles and masks become objects; shapes of one label and ``group_id`` become one object of
    several parts; a shape with the flag ``crowd`` or ``iscrowd`` becomes a crowd. Shapes whose label is stuff go into
    semantic maps, later shapes on top and things over all stuff. Captions are the field ``captions`` of a file (a list
    or a sentence), or the lines of the text file of the same name.

    Args:
        source: Folder with the JSON files, sub-folders included; images lie where ``imagePath`` says.
        out_dir: Folder to make, see :class:`CocoWriter`.
        things: Names of the things in order; None takes every label found that is not stuff, sorted.
        stuff: Names of the stuff classes in order.
        images: 'copy', 'link' or 'none'.
        skip_bad: Leave out what is wrong instead of stopping.

    Returns:
        tuple[dict[str, int], Findings]: What was written, and what was left out.

    Raises:
        FileNotFoundError: There is no such folder or no JSON file in it.
        ValueError: Something is wrong with the data; lists everything.
    """
    source, findings = Path(source), Findings()
    files = _read_all(source, findings)
    if things is None:
        things = ordered((shape['label'] for _, content in files for shape in content['shapes']), stuff)
    writer = CocoWriter(ClassList.number(things, stuff), source)
    for path, content in files:
        _add(writer, path, content, findings)
    finish(findings, skip_bad)
    return writer.save(out_dir, images, f'{source.name}, from LabelMe'), findings


def _read_all(source: Path, findings: Findings) -> list[tuple[Path, dict[str, Any]]]:
    paths = sorted(source.rglob('*.json')) if source.is_dir() else []
    if not paths:
        raise FileNotFoundError(f'{source} is no folder with LabelMe files (*.json)')
    files = []
    for path in paths:
        try:
            content = read_json(path)
        except ValueError as error:
            findings.found.append(str(error))
            continue
        shapes = content.get('shapes') if isinstance(content, dict) else None
        if not isinstance(shapes, list) or not isinstance(content.get('imagePath'), str):
            findings.add(path, 'no LabelMe file: it needs "shapes" and "imagePath"')
        elif not all(isinstance(shape, dict) and isinstance(shape.get('label'), str) for shape in shapes):
            findings.add(path, 'a shape has no label')
        else:
            files.append((path, content))
    return files


def _add(writer: CocoWriter, path: Path, content: dict[str, Any], findings: Findings) -> None:
    # Files written on Windows have backslashes.
    image = path.parent / content['imagePath'].replace('\\', '/')
    try:
        size = image_size(image)
    except ValueError as error:
        findings.add(path, f'imagePath: {error}')
        return
    noted = (content.get('imageHeight') or size[0], content.get('imageWidth') or size[1])
    if noted != size:
        findings.add(path, f'imageWidth x imageHeight is {noted[1]} x {noted[0]}, the image has {size[1]} x {size[0]}')
        return
    try:
        name = image.resolve().relative_to(writer.image_root.resolve()).as_posix()
    except ValueError:
        findings.add(path, f'its image {image} is not below {writer.image_root}: convert the folder that holds both')
        return
    objects, stuff = [], []
    for label, segmentation, extra in _objects(path, content['shapes'], writer.classes, size, findings):
        one = mask_object(label, segmentation, size, **extra)
        if one is None:
            findings.add(path, f'a {label} covers no pixel of the image')
        else:
            (stuff if label in writer.classes.stuff else objects).append(one)
    captions = _captions(path, content, findings)
    try:
        writer.add(name, size, objects, stuff=stuff, captions=captions)
    except ValueError as error:
        findings.add(path, str(error))


def _objects(
    path: Path, shapes: Iterable[dict[str, Any]], classes: ClassList, size: tuple[int, int], findings: Findings
) -> list[tuple[str, Any, dict[str, Any]]]:
    """(label, segmentation, further entries) of each object, parts of a group joined, in the file's order."""
    groups: dict[Any, list[tuple[dict, Any]]] = {}
    for number, shape in enumerate(shapes, start=1):
        if shape['label'] not in classes.ids:
            findings.add(path, f'shape {number}: label {shape["label"]!r} is not among the classes')
            continue
        try:
            outline = _outline(shape, size)
        except ValueError as error:
            findings.add(path, f'shape {number} ({shape["label"]}): {error}')
            continue
        group = shape.get('group_id')
        key = ('shape', number) if group is None else (shape['label'], group)
        groups.setdefault(key, []).append((shape, outline))
    found = []
    for parts in groups.values():
        flags = [shape.get('flags') or {} for shape, _ in parts]
        crowd = any(flag.get('crowd') or flag.get('iscrowd') for flag in flags)
        outlines = [outline for _, outline in parts]
        found.append((parts[0][0]['label'], _join(outlines, size), {'iscrowd': 1} if crowd else {}))
    return found


def _join(outlines: list[Any], size: tuple[int, int]) -> list[list[float]] | dict:
    """Polygons stay polygons; as soon as one part is a mask, all become one mask."""
    if not any(isinstance(outline, np.ndarray) and outline.ndim == 2 for outline in outlines):
        return [[round(float(v), 3) for v in outline] for outline in outlines]
    canvas = np.zeros(size, np.uint8, order='F')
    for outline in outlines:
        if outline.ndim == 2:
            np.maximum(canvas, outline, out=canvas)
        else:
            paint(canvas, [outline.tolist()], 1)
    return encode_mask(canvas)


def _outline(shape: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Flat polygon x, y, ... of a shape; for a mask the (H, W) uint8 array itself.

    Raises:
        ValueError: The kind is unknown or the points do not fit to it.
    """
    kind = shape.get('shape_type') or 'polygon'
    if kind not in _SHAPES:
        raise ValueError(f'shapes of type {kind!r} have no area; draw one of {", ".join(_SHAPES)}')
    try:
        points = np.asarray(shape.get('points'), dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ValueError('its points are no list of x, y') from None
    if not np.isfinite(points).all():
        raise ValueError('a coordinate is not finite')
    if kind == 'polygon':
        if len(points) < 3:
            raise ValueError(f'a polygon needs 3 points, it has {len(points)}')
        return points.ravel()
    if kind == 'rectangle' and len(points) == 4:  # turned ones of newer versions
        return points.ravel()
    if len(points) != 2:
        raise ValueError(f'a {kind} has 2 points, not {len(points)}')
    if kind == 'rectangle':
        (x1, y1), (x2, y2) = points
        return np.array([x1, y1, x2, y1, x2, y2, x1, y2])
    if kind == 'circle':  # centre and a point of the edge
        angles = np.arange(_CIRCLE_POINTS) * (2 * np.pi / _CIRCLE_POINTS)
        radius = np.linalg.norm(points[1] - points[0])
        return (points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)).ravel()
    return _mask(shape.get('mask'), points, size)


def _mask(text: Any, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A PNG in base64 that fills the box of the points, both ends included."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            part = (np.asarray(image.convert('L')) > 0).astype(np.uint8)
    except (TypeError, binascii.Error, UnidentifiedImageError, OSError) as error:
        raise ValueError(f'its mask is no PNG in base64 ({error})') from error
    x, y = (int(v) for v in points.min(axis=0))
    if x < 0 or y < 0 or y + part.shape[0] > size[0] or x + part.shape[1] > size[1]:
        raise ValueError(f'its mask of {part.shape[1]} x {part.shape[0]} px at ({x}, {y}) leaves the image')
    canvas = np.zeros(size, np.uint8)
    canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    return canvas


def _captions(path: Path, content: dict[str, Any], findings: Findings) -> list[str]:
    captions = content.get('captions')
    if captions is None:
        text = path.with_suffix('.txt')
        captions = text.read_text(encoding='utf-8-sig').splitlines() if text.is_file() else []
    if isinstance(captions, str):
        captions = [captions]
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        findings.add(path, f'captions must be a sentence or a list of sentences, not {captions!r:.80}')
        return []
    return [caption.strip() for caption in captions if caption.strip()]
