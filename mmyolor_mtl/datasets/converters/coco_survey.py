"""Says what of COCO 2017 is there, complete and consistent."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from .coco_archives import NUM_ANNOTATIONS, NUM_IMAGES, NUM_KARPATHY, SPLITS, has_entries, locate
from .files import read_coco

_SHOWN = 3


class Item(NamedTuple):
    """State of a part of the data set.

    Attributes:
        name: The part, a path below the root.
        ok: Whether it can be used.
        note: What is there, or what is wrong.
        archives: Zip files that hold what is missing; any one of them will do.
    """

    name: str
    ok: bool
    note: str
    archives: tuple[str, ...] = ()


def survey(root: Path, partial: bool = False) -> list[Item]:
    """Look at all parts: counts, and whether files and folders fit together.

    Args:
        root: Folder of the data set.
        partial: Accept fewer images and labels than COCO has. What is there must still fit together.

    Raises:
        ValueError: An annotation file is not valid JSON or not in COCO's layout.
    """
    items = [item for split in SPLITS for item in _survey_split(root, split, partial)]
    if partial and not any(has_entries(locate(root, split)) for split in SPLITS):
        items.append(Item('images', False, 'neither split has its images', ('train2017.zip', 'val2017.zip')))
    vocabulary = root / 'annotations' / 'vocab.txt'
    if vocabulary.is_file():
        items.append(Item('annotations/vocab.txt', True, f'{_count_lines(vocabulary):,} tokens'))
    else:
        items.append(Item('annotations/vocab.txt', False, 'not made yet; needs captions_train2017.json'))
    for name, number in NUM_KARPATHY.items():
        path = root / 'annotations' / f'karpathy_{name}.txt'
        if path.is_file():
            found = _count_lines(path)
            items.append(Item(f'annotations/{path.name}', partial or found == number, _count(found, number, 'images')))
    return items


def _survey_split(root: Path, split: str, partial: bool) -> list[Item]:
    found = {kind: _annotations(root, kind, split, partial) for kind in ('instances', 'captions', 'panoptic')}
    listed = [content['images'] for kind, (_, content) in found.items() if kind != 'panoptic']
    stems = {Path(image['file_name']).stem for images in listed for image in images}
    segmented = {Path(annotation['file_name']).stem for annotation in found['panoptic'][1].get('annotations', ())}
    stuff = ('stuffthingmaps_trainval2017.zip', 'stuff_annotations_trainval2017.zip')
    folders = [
        (split, stems, NUM_IMAGES[split], (f'{split}.zip',)),
        (f'stuffthingmaps/{split}', set() if partial else stems, NUM_IMAGES[split], stuff),
        (f'annotations/panoptic_{split}', segmented, NUM_IMAGES[split], ('panoptic_annotations_trainval2017.zip',)),
    ]
    return [*(item for item, _ in found.values()), *(_files(root, *folder, partial) for folder in folders)]


def _annotations(root: Path, kind: str, split: str, partial: bool) -> tuple[Item, dict[str, Any]]:
    stem = f'{kind}_{split}'
    name = f'annotations/{stem}.json'
    archives = (f'{"panoptic_" if kind == "panoptic" else ""}annotations_trainval2017.zip',)
    if not (root / name).is_file():
        return Item(name, partial, 'not there', () if partial else archives), {'images': []}
    content = read_coco(root / name)
    listed = {image['id'] for image in content['images']}
    annotations = content.get('annotations', ())
    orphans = sum(annotation['image_id'] not in listed for annotation in annotations)
    if orphans:
        return Item(name, False, f'{orphans:,} annotations belong to no image of the file', archives), content
    images, labels = NUM_IMAGES[split], NUM_ANNOTATIONS[stem]
    complete = (len(listed), len(annotations)) == (images, labels)
    note = f'{_count(len(listed), images, "images")}, {_count(len(annotations), labels, "annotations")}'
    return Item(name, complete or partial, note, () if complete or partial else archives), content


def _files(root: Path, folder: str, stems: set[str], number: int, archives: tuple[str, ...], partial: bool) -> Item:
    """Compare a folder with what the annotation files list.

    Args:
        root: Folder of the data set.
        folder: Name of the folder in the layout.
        stems: Names that must be there, without suffix.
        number: Files that COCO has.
        archives: Which hold them.
        partial: Accept fewer files than ``number``.
    """
    name, place, sizes = f'{folder}/', locate(root, folder), {}
    if place.is_dir():
        with os.scandir(place) as entries:
            sizes = {Path(entry.name).stem: entry.stat().st_size for entry in entries if entry.name[0] != '.'}
    if not sizes:
        return Item(name, partial and not stems, 'not there', () if partial and not stems else archives)
    empty = sorted(stem for stem, size in sizes.items() if not size)
    if empty:
        return Item(
            name, False, f'{len(empty):,} files are empty ({_some(empty)}): delete them and run again', archives
        )
    lacking = sorted(stems - sizes.keys())
    if lacking:
        return Item(name, False, f'{len(lacking):,} of {len(stems):,} files are missing ({_some(lacking)})', archives)
    fine = partial or len(sizes) == number
    return Item(name, fine, _count(len(sizes), number, 'files'), () if fine else archives)


def _some(names: list[str]) -> str:
    return ', '.join(names[:_SHOWN]) + (', ...' if len(names) > _SHOWN else '')


def _count_lines(path: Path) -> int:
    return len(path.read_text(encoding='utf-8').splitlines())


def _count(found: int, expected: int, what: str) -> str:
    return f'{found:,} {what}' if found == expected else f'{found:,} {what} (COCO has {expected:,})'
