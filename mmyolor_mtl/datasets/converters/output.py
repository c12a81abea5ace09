"""The folder that every converter to COCO's layout writes."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycocotools.mask as mask_utils

from ..semantic_maps import render_semantic_map, to_rle
from ..validation.files import upright_size
from .classes import ClassList, write_classes
from .files import Findings, draft_folder, write_json

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
IMAGE_MODES = ('copy', 'link', 'none')
SKIP_ADVICE = 'Correct these, or leave them out with --skip-bad. Nothing was written.'


class CocoWriter:
    """Collects images with their labels, then writes them in one go.

    The folder then holds ``annotations/instances.json`` (``instances_{split}.json`` where there are splits), captions
    likewise, ``stuffthingmaps/*.png`` if there is stuff, ``images/`` unless they stay where they are, ``classes.json``
    and ``metainfo.py``.

    Args:
        classes: Names and ids.
        image_root: Folder that the images' names are relative to.
    """

    def __init__(self, classes: ClassList, image_root: str | Path) -> None:
        self.classes = classes
        self.image_root = Path(image_root)
        self._ids = classes.ids
        self._splits: dict[str, dict[str, list[dict[str, Any]]]] = {}
        self._semantic: list[tuple[dict, list[dict], list[dict] | np.ndarray]] = []
        self._names: set[str] = set()
        self._counts = {'images': 0, 'annotations': 0, 'captions': 0, 'maps': 0}

    def add(
        self,
        file_name: str,
        size: tuple[int, int],
        objects: Sequence[dict[str, Any]],
        *,
        stuff: Sequence[dict[str, Any]] | np.ndarray | None = None,
        captions: Sequence[str] = (),
        split: str = '',
    ) -> None:
        """Add one image.

        Args:
            file_name: Relative to ``image_root``.
            size: (h, w), px.
            objects: ``label`` (name of a thing), ``bbox`` [x, y, w, h] and perhaps ``segmentation``, ``iscrowd``: see
                :func:`box_object` and :func:`mask_object`.
            stuff: ``label`` and ``segmentation`` of regions, later ones on top; or a complete map (H, W) uint8 that
                holds category id - 1, 255 where nothing is labelled; None if its stuff is not labelled.
            captions: Sentences.
            split: Name of the split, '' if there are none.

        Raises:
            ValueError: Another image has the same name, its suffix aside.
        """
        stem = os.path.splitext(file_name)[0]
        if stem in self._names:
            raise ValueError(f'two images are called {stem}, their suffixes aside')
        self._names.add(stem)
        part = self._splits.setdefault(split, {'images': [], 'annotations': [], 'captions': []})
        self._counts['images'] += 1
        image = {'id': self._counts['images'], 'file_name': file_name, 'height': size[0], 'width': size[1]}
        part['images'].append(image)
        annotations = [self._annotation(one, image['id']) for one in objects]
        part['annotations'] += annotations
        for text in captions:
            self._counts['captions'] += 1
            part['captions'].append({'id': self._counts['captions'], 'image_id': image['id'], 'caption': text})
        if isinstance(stuff, np.ndarray):
            self._semantic.append((image, [], stuff))
        elif stuff is not None and self.classes.stuff:
            regions = [{'category_id': self._ids[one['label']], 'segmentation': one['segmentation']} for one in stuff]
            self._semantic.append((image, annotations, regions))

    def _annotation(self, one: dict[str, Any], image_id: int) -> dict[str, Any]:
        self._counts['annotations'] += 1
        known = {key: value for key, value in one.items() if key != 'label'}
        known.setdefault('area', one['bbox'][2] * one['bbox'][3])
        known.setdefault('iscrowd', 0)
        return {
            'id': self._counts['annotations'],
            'image_id': image_id,
            'category_id': self._ids[one['label']],
            **known,
        }

    def save(self, out_dir: str | Path, images: str = 'link', source: str = '') -> dict[str, int]:
        """Write everything beside ``out_dir`` and move it there when it is complete.

        Args:
            out_dir: Folder to make.
            images: 'copy' them to ``images/``, 'link' them there, or 'none': leave them in ``image_root``.
            source: Goes into the files' ``info``.

        Returns:
            dict[str, int]: Numbers of images, annotations, captions and maps.

        Raises:
            FileExistsError: ``out_dir`` exists and is not an empty folder.
            ValueError: There is no image, or ``images`` is none of the three.
        """
        if images not in IMAGE_MODES:
            raise ValueError(f'images={images!r} must be one of {IMAGE_MODES}')
        if not self._counts['images']:
            raise ValueError(f'{self.image_root}: no image is left to write')
        with draft_folder(out_dir) as draft:
            (draft / 'annotations').mkdir()
            for split, part in self._splits.items():
                self._write_split(draft / 'annotations', f'_{split}' if split else '', part, source)
                if images != 'none':
                    for image in part['images']:
                        _place(self.image_root / image['file_name'], draft / 'images' / image['file_name'], images)
            for image, annotations, stuff in self._semantic:
                self._write_map(draft / 'stuffthingmaps', image, annotations, stuff)
            write_classes(draft, self.classes)
        return {**self._counts, 'maps': len(self._semantic)}

    def _write_split(self, folder: Path, suffix: str, part: dict[str, list], source: str) -> None:
        head = {'info': {'description': source}, 'licenses': [], 'images': part['images']}
        instances = {**head, 'annotations': part['annotations'], 'categories': self.classes.categories()}
        write_json(folder / f'instances{suffix}.json', instances)
        if part['captions']:
            write_json(folder / f'captions{suffix}.json', {**head, 'annotations': part['captions']})

    def _write_map(self, folder: Path, image: dict, annotations: list[dict], stuff: list[dict] | np.ndarray) -> None:
        if not isinstance(stuff, np.ndarray):
            stuff = render_semantic_map(annotations, stuff, image['height'], image['width'])
        path = (folder / image['file_name']).with_suffix('.png')
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), stuff):
            raise OSError(f'could not write {path}: is the disk full?')


def _place(source: Path, target: Path, mode: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if mode == 'copy':
        shutil.copyfile(source, target)
    else:
        target.symlink_to(source.resolve())


def box_object(label: str, box: Sequence[float], size: tuple[int, int], **extra: Any) -> dict[str, Any] | None:
    """An object of which only the box is known.

    Args:
        label: Name of its class.
        box: x1, y1, x2, y2 in px; cut at the border of the image.
        size: (h, w) of the image, px.
        extra: More entries of the annotation.

    Returns:
        dict | None: None if nothing of it lies in the image.
    """
    x1, x2 = (min(max(float(v), 0.0), size[1]) for v in (box[0], box[2]))
    y1, y2 = (min(max(float(v), 0.0), size[0]) for v in (box[1], box[3]))
    if x2 <= x1 or y2 <= y1:
        return None
    bbox = [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)]
    return {'label': label, 'bbox': bbox, 'area': round((x2 - x1) * (y2 - y1), 3), **extra}


def mask_object(
    label: str, segmentation: list[list[float]] | dict, size: tuple[int, int], **extra: Any
) -> dict[str, Any] | None:
    """An object with a mask: the box is cut at the border and the area counts pixels.

    Args:
        label: Name of its class.
        segmentation: COCO's polygons in px (kept as they are), or run lengths.
        size: (h, w) of the image, px.
        extra: More entries of the annotation.

    Returns:
        dict | None: None if no pixel of it lies in the image.
    """
    rle = to_rle(segmentation, *size)
    if rle is None or not (area := int(mask_utils.area(rle))):
        return None
    if isinstance(segmentation, dict):
        bbox = mask_utils.toBbox(rle).tolist()
    else:
        points = np.concatenate([np.asarray(ring, dtype=np.float64).reshape(-1, 2) for ring in segmentation])
        low, high = (np.clip(extreme(axis=0), 0, (size[1], size[0])) for extreme in (points.min, points.max))
        bbox = [round(float(v), 3) for v in (*low, *(high - low))]
    if min(bbox[2:]) <= 0:
        return None
    return {'label': label, 'segmentation': segmentation, 'bbox': bbox, 'area': area, **extra}


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """Compressed run lengths of a mask (H, W), as JSON holds them."""
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': list(mask.shape), 'counts': rle['counts'].decode()}


def image_size(path: Path) -> tuple[int, int]:
    """(h, w) of an image as it is loaded, turned upright where its EXIF data say so.

    Raises:
        ValueError: It does not exist or is no image.
    """
    if not path.is_file():
        raise ValueError(f'the image {path} does not exist')
    try:
        return upright_size(str(path))
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
        raise ValueError(f'{path} is not a readable image ({error})') from error


def finish(findings: Findings, skip_bad: bool) -> None:
    """Stop if anything was found, unless bad entries are to be left out.

    Raises:
        ValueError: Lists what was found.
    """
    if not skip_bad:
        findings.raise_if_any(SKIP_ADVICE)
