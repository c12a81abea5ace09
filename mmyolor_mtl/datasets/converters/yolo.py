"""YOLO's text files, one line an object, to COCO's layout."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .classes import ClassList, read_names
from .files import Findings
from .output import IMAGE_SUFFIXES, CocoWriter, box_object, finish, image_size, mask_object

_SPLITS = ('train', 'val', 'test')
# Coordinates are rounded when they are written, so a border may be missed by a little.
_TOLERANCE = 1e-3


def convert_yolo(
    source: str | Path, out_dir: str | Path, *, images: str = 'link', skip_bad: bool = False
) -> tuple[dict[str, int], Findings]:
    """Convert a folder in YOLO's layout.

    The class names come from ``data.yaml`` (or another ``*.yaml`` with ``names``), else from ``classes.txt``. The
    splits are those of the YAML file; without any, the images below ``images/``. The labels of ``.../images/a/b.jpg``
    are ``.../labels/a/b.txt``; an empty or missing file says that there is no object. Lines hold ``class cx cy w h`` or
    ``class x1 y1 x2 y2 x3 y3 ...``, as fractions of width and height; a file may mix them. Repeated lines count once.

    Args:
        source: The folder.
        out_dir: Folder to make, see :class:`CocoWriter`.
        images: 'copy', 'link' or 'none'.
        skip_bad: Leave out what is wrong instead of stopping.

    Returns:
        tuple[dict[str, int], Findings]: What was written, and what was left out.

    Raises:
        FileNotFoundError: There are no class names or no images.
        ValueError: Something is wrong with the data; lists everything.
    """
    source, findings = Path(source), Findings()
    names, splits = _read_layout(source)
    folder = source / 'images'
    below = all(path.is_relative_to(folder) for paths in splits.values() for path in paths)
    writer = CocoWriter(ClassList.number(names), folder if below else source)
    for split, paths in splits.items():
        for path in paths:
            _add(writer, path, _label_file(path, source), split, findings)
    finish(findings, skip_bad)
    return writer.save(out_dir, images, f'{source.name}, from YOLO'), findings


def _read_layout(source: Path) -> tuple[list[str], dict[str, list[Path]]]:
    """Class names, and the images of each split ('' where there are no splits)."""
    settings = _read_yaml(source)
    if settings is not None:
        path, content = settings
        names = content['names']
        if isinstance(names, dict):
            if sorted(names) != list(range(len(names))):
                raise ValueError(f'{path}: the keys of names must be 0 to {len(names) - 1}, they are {sorted(names)}')
            names = [names[i] for i in range(len(names))]
        names = [str(name) for name in names]
    else:
        files = [path for path in (source / 'classes.txt', source / 'labels' / 'classes.txt') if path.is_file()]
        if not files:
            raise FileNotFoundError(
                f'{source} has neither a *.yaml with "names" nor classes.txt: class names are needed'
            )
        path, names, content = files[0], read_names(files[0]), {}
    splits = {split: _list_images(source, path, content[split]) for split in _SPLITS if content.get(split)}
    if not splits:
        splits = {'': _list_images(source, path, 'images')}
    return names, splits


def _read_yaml(source: Path) -> tuple[Path, dict[str, Any]] | None:
    for path in sorted([*source.glob('*.yaml'), *source.glob('*.yml')], key=lambda p: (p.stem != 'data', p.name)):
        try:
            content = yaml.safe_load(path.read_text(encoding='utf-8'))
        except yaml.YAMLError as error:
            raise ValueError(f'{path} is not valid YAML: {error}') from error
        if isinstance(content, dict) and content.get('names'):
            return path, content
    return None


def _list_images(source: Path, settings: Path, entry: str | Sequence[str]) -> list[Path]:
    """Images of a split: of a folder, of a list of images in a text file, or of several of these."""
    found: list[Path] = []
    for item in [entry] if isinstance(entry, str) else entry:
        # Tools write paths with respect to the file, to its folder's parent or to 'path'; the folder given here counts.
        relative = Path(item.replace('../', '', 1) if item.startswith('../') and not (source / item).exists() else item)
        place = source / relative
        if place.suffix == '.txt' and place.is_file():
            found += [source / line.removeprefix('./') for line in read_names(place)]
        elif place.is_dir():
            found += [path for path in sorted(place.rglob('*')) if path.suffix.lower() in IMAGE_SUFFIXES]
        else:
            raise FileNotFoundError(f'{settings}: {item} is neither a folder nor a list of images below {source}')
    if not found:
        raise FileNotFoundError(f'{settings}: there is no image in {entry}')
    return found


def _label_file(image: Path, source: Path) -> Path:
    parts = list(image.relative_to(source).parts)
    if 'images' in parts:
        last = len(parts) - 1 - parts[::-1].index('images')
        parts[last] = 'labels'
    return source.joinpath(*parts).with_suffix('.txt')


def _add(writer: CocoWriter, image: Path, path: Path, split: str, findings: Findings) -> None:
    name = image.relative_to(writer.image_root).as_posix()
    try:
        size = image_size(image)
    except ValueError as error:
        findings.found.append(str(error))
        return
    objects, seen = [], set()
    lines = path.read_text(encoding='utf-8-sig').splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        fields = tuple(line.split())
        if not fields or fields in seen:
            continue
        seen.add(fields)
        try:
            objects.append(_parse(fields, writer.classes.things, size))
        except ValueError as error:
            findings.add(f'{path}:{number}', str(error))
    try:
        writer.add(name, size, objects, split=split)
    except ValueError as error:
        findings.add(image, str(error))


def _parse(fields: Sequence[str], names: Sequence[str], size: tuple[int, int]) -> dict[str, Any]:
    """One line as an object.

    Raises:
        ValueError: Says what is wrong with it.
    """
    try:
        label, values = int(fields[0]), np.array(fields[1:], dtype=np.float64)
    except ValueError:
        raise ValueError(
            f'{" ".join(fields)!r:.80} is not "class cx cy w h" or "class x1 y1 x2 y2 x3 y3 ..."'
        ) from None
    if not 0 <= label < len(names):
        raise ValueError(f'class {label} is not among the {len(names)} names (0 to {len(names) - 1})')
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(f'{len(values)} numbers after the class: a box has 4, a polygon an even number from 6 on')
    if not np.isfinite(values).all() or values.min() < -_TOLERANCE or values.max() > 1 + _TOLERANCE:
        raise ValueError('coordinates must be fractions of width and height, between 0 and 1')
    if len(values) == 4:
        centre, half = values[:2], values[2:] / 2
        box = np.concatenate([centre - half, centre + half]) * np.tile(size[::-1], 2)
        one = box_object(names[label], box.tolist(), size)
    else:
        polygon = np.clip(values, 0, 1) * np.tile(size[::-1], len(values) // 2)
        one = mask_object(names[label], [np.round(polygon, 3).tolist()], size)
    if one is None:
        raise ValueError(f'the {names[label]} covers no pixel of the image')
    return one
