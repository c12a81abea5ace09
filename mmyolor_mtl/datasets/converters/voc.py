"""Folders in Pascal VOC's layout to COCO's layout."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..label_space import UNLABELLED
from ..validation import read_semantic_map
from .classes import ClassList, ordered
from .files import Findings
from .output import CocoWriter, box_object, encode_mask, finish, image_size, mask_object

VOC_CLASSES = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog',
    'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
)  # fmt: skip
_VOID = 255
_MIN_OVERLAP = 0.5  # between the box of a mask and the box in the XML file


def convert_voc(
    source: str | Path,
    out_dir: str | Path,
    things: Sequence[str] | None = None,
    *,
    background: str | None = None,
    zero_based: bool = False,
    images: str = 'link',
    skip_bad: bool = False,
) -> tuple[dict[str, int], Findings]:
    """Convert ``Annotations/*.xml``, with masks from ``SegmentationObject`` and ``SegmentationClass`` where they exist.

    Objects marked ``difficult`` become crowds: they are neither trained nor counted in evaluation. A mask belongs to
    the box of its class that it overlaps most; a mask without a box becomes an object of its own. With ``background``,
    ``SegmentationClass`` becomes semantic maps in which 0 is a stuff class of that name and 255 is unlabelled.

    Args:
        source: Folder that holds ``Annotations`` and ``JPEGImages``.
        out_dir: Folder to make, see :class:`CocoWriter`.
        things: Class names; the values 1, 2, ... of ``SegmentationClass`` in this order. None means VOC's 20 classes if
            no other name occurs, else the names that occur, sorted.
        background: Name of the stuff class of pixels without object, e.g. 'background'.
        zero_based: The first pixel is 0, not 1 as in VOC.
        images: 'copy', 'link' or 'none'.
        skip_bad: Leave out what is wrong instead of stopping.

    Returns:
        tuple[dict[str, int], Findings]: What was written, and what was left out.

    Raises:
        FileNotFoundError: There is no such folder or no XML file in it.
        ValueError: Something is wrong with the data; lists everything. Or ``SegmentationClass`` exists for classes
            that are not VOC's, and their order is not given.
    """
    source, findings = Path(source), Findings()
    files = _read_all(source, findings)
    masked = (source / 'SegmentationClass').is_dir()
    if things is None:
        found = {one['name'] for _, content in files for one in content['objects']}
        if masked and not found <= set(VOC_CLASSES):
            raise ValueError(
                f'{source / "SegmentationClass"}: the values 1, 2, ... of its maps need names in their order; found '
                f'{sorted(found)}: give them with --classes'
            )
        things = VOC_CLASSES if found <= set(VOC_CLASSES) else ordered(found)
    if background and not masked:
        raise ValueError(f'--background needs semantic maps, and there is no {source / "SegmentationClass"}')
    writer = CocoWriter(ClassList.number(things, [background] if background else []), source / 'JPEGImages')
    for path, content in files:
        try:
            _add(writer, source, path, content, 0 if zero_based else 1, findings)
        except ValueError as error:
            findings.add(path, str(error))
    finish(findings, skip_bad)
    return writer.save(out_dir, images, f'{source.name}, from Pascal VOC'), findings


def _read_all(source: Path, findings: Findings) -> list[tuple[Path, dict[str, Any]]]:
    paths = sorted((source / 'Annotations').glob('*.xml'))
    if not paths:
        raise FileNotFoundError(f'{source} is no folder in Pascal VOC layout: there is no Annotations/*.xml')
    files = []
    for path in paths:
        try:
            files.append((path, _read_xml(path)))
        except (ElementTree.ParseError, ValueError) as error:
            findings.add(path, str(error))
    return files


def _read_xml(path: Path) -> dict[str, Any]:
    root = ElementTree.parse(path).getroot()
    file_name = (root.findtext('filename') or '').strip()
    size = [root.findtext(f'size/{key}') for key in ('height', 'width')]
    objects = []
    for number, node in enumerate(root.iter('object'), start=1):
        name = (node.findtext('name') or '').strip()
        box = [node.findtext(f'bndbox/{key}') for key in ('xmin', 'ymin', 'xmax', 'ymax')]
        if not name or None in box:
            raise ValueError(f'object {number} has no name or no bndbox with xmin, ymin, xmax, ymax')
        try:
            values = [float(v or '') for v in box]
        except ValueError:
            raise ValueError(f'object {number} ({name}): bndbox {box} holds something else than numbers') from None
        difficult = (node.findtext('difficult') or '0').strip() == '1'
        objects.append({'name': name, 'box': values, 'difficult': difficult})
    return {'file_name': file_name, 'size': tuple(int(v) if v else None for v in size), 'objects': objects}


def _add(writer: CocoWriter, source: Path, path: Path, content: dict[str, Any], first: int, findings: Findings) -> None:
    """Add the image of an XML file.

    Raises:
        ValueError: It cannot be used at all.
    """
    image = _find_image(writer.image_root, path, content['file_name'])
    size = image_size(image)
    noted = content['size']
    if None not in noted and noted != size:
        raise ValueError(f'its size is {noted[1]} x {noted[0]}, the image {image.name} has {size[1]} x {size[0]}')
    boxes = []
    for number, one in enumerate(content['objects'], start=1):
        x1, y1, x2, y2 = one['box']
        extra = {'iscrowd': 1, 'difficult': 1} if one['difficult'] else {}
        # xmax and ymax are the last pixels inside.
        box = box_object(one['name'], (x1 - first, y1 - first, x2 - first + 1, y2 - first + 1), size, **extra)
        if one['name'] not in writer.classes.things:
            findings.add(path, f'object {number}: {one["name"]!r} is not among the classes')
        elif box is None or x2 < x1 or y2 < y1:
            findings.add(path, f'object {number} ({one["name"]}): its box {one["box"]} covers no pixel of the image')
        else:
            boxes.append(box)
    classes = _read_map(source / 'SegmentationClass' / f'{path.stem}.png', size)
    instances = _read_map(source / 'SegmentationObject' / f'{path.stem}.png', size)
    if classes is not None:
        unknown = set(np.unique(classes).tolist()) - {*range(len(writer.classes.things) + 1), _VOID}
        if unknown:
            raise ValueError(f'SegmentationClass/{path.stem}.png holds the values {sorted(unknown)[:5]} of no class')
    objects = boxes
    if classes is not None and instances is not None:
        objects = _join(boxes, _masks(classes, instances, writer.classes.things), size)
    stuff = None
    if classes is not None and writer.classes.stuff:
        stuff = _semantic_map(classes, len(writer.classes.things))
    writer.add(image.relative_to(writer.image_root).as_posix(), size, objects, stuff=stuff)


def _find_image(folder: Path, path: Path, file_name: str) -> Path:
    # What 'filename' says is often out of date; the name of the XML file is what VOC goes by.
    candidates = [folder / f'{path.stem}{Path(file_name).suffix or ".jpg"}', folder / file_name]
    candidates += sorted(folder.glob(f'{path.stem}.*'))
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ValueError(f'its image {candidates[0]} does not exist')


def _read_map(path: Path, size: tuple[int, int]) -> np.ndarray | None:
    """(H, W) uint8 palette indices, None if there is no such file.

    Raises:
        ValueError: It is not readable or of another size.
    """
    if not path.is_file():
        return None
    values = read_semantic_map(str(path))
    if values.shape != size:
        raise ValueError(f'{path} is {values.shape[1]} x {values.shape[0]} px, the image {size[1]} x {size[0]}')
    return values


def _masks(classes: np.ndarray, instances: np.ndarray, things: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """(label, mask (H, W) bool) of every object of the maps."""
    found = []
    for number in np.unique(instances):
        if number in (0, _VOID):
            continue
        mask = instances == number
        votes = np.bincount(classes[mask], minlength=256)
        votes[[0, _VOID]] = 0
        if votes.any():
            found.append((things[int(votes.argmax()) - 1], mask))
    return found


def _join(boxes: list[dict], masks: list[tuple[str, np.ndarray]], size: tuple[int, int]) -> list[dict]:
    """Objects with masks where they are known; the best pairs of box and mask first."""
    objects = [one for label, mask in masks if (one := mask_object(label, encode_mask(mask), size))]
    pairs = [
        (_overlap(box['bbox'], one['bbox']), i, j)
        for i, box in enumerate(boxes)
        for j, one in enumerate(objects)
        if box['label'] == one['label']
    ]
    mask_of: dict[int, int] = {}
    for overlap, i, j in sorted(pairs, reverse=True):
        if overlap >= _MIN_OVERLAP and i not in mask_of and j not in mask_of.values():
            mask_of[i] = j
    joined = []
    for i, box in enumerate(boxes):
        mask = objects[mask_of[i]] if i in mask_of else {}
        joined.append({**box, **{key: mask[key] for key in ('segmentation', 'area') if key in mask}})
    return joined + [one for j, one in enumerate(objects) if j not in mask_of.values()]


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU of two boxes [x, y, w, h]."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _semantic_map(classes: np.ndarray, num_things: int) -> np.ndarray:
    """From VOC's values (0 background, 1.. things, 255 void) to category id - 1."""
    lut = np.full(256, UNLABELLED, np.uint8)
    lut[1 : num_things + 1] = np.arange(num_things)
    lut[0] = num_things
    return lut[classes]
