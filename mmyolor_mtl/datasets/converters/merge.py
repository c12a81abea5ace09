"""Merges data sets in COCO's layout into one: classes by name, new ids where the old ones clash."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..label_space import FOREIGN, UNLABELLED
from ..validation import read_semantic_map
from .classes import ClassList, class_list, read_classes, write_classes
from .files import draft_folder, read_coco, write_json

FILE_KINDS = ('instances', 'captions', 'stuff', 'panoptic')
OPTIONS = (*FILE_KINDS, 'classes', 'maps', 'prefix')


class _SourceSet(NamedTuple):
    """One data set to merge.

    Attributes:
        files: Annotation files by kind (``FILE_KINDS``), read.
        paths: Where they were read.
        classes: Its class list.
        maps: Folder of its semantic maps, if it has any.
        prefix: Goes before its file names, e.g. 'north/'.
    """

    files: dict[str, dict[str, Any]]
    paths: dict[str, str]
    classes: ClassList
    maps: Path | None
    prefix: str


def merge_coco(sets: Sequence[Mapping[str, str]], out_dir: str | Path) -> dict[str, int]:
    """Merge data sets.

    ``out_dir/annotations`` holds ``instances.json``, ``captions.json``, ... as far as some set has them; beside it lie
    ``stuffthingmaps`` (if a set has maps), ``classes.json`` and ``metainfo.py``. Images stay where they are: name the
    folder that holds them all with a prefix for each set where their names need one.

    Category ids stay as they are if no name and no id has two meanings; otherwise things are numbered from 1, then
    stuff. Image and annotation ids stay likewise if none occurs twice. Semantic maps are rewritten with the new ids.

    Args:
        sets: For each data set any of ``instances``, ``captions``, ``stuff``, ``panoptic`` (files), ``classes`` (its
            classes.json: names the stuff of its maps), ``maps`` (folder of its semantic maps), ``prefix``.
        out_dir: Folder to make.

    Returns:
        dict[str, int]: Numbers of images, annotations by kind, and maps.

    Raises:
        FileNotFoundError: A file does not exist.
        FileExistsError: ``out_dir`` exists and is not an empty folder.
        ValueError: A file is not in COCO's layout, a class is a thing here and stuff there, two images would have the
            same file name, or a map holds ids without a class.
    """
    sources = [_read(entry) for entry in sets]
    classes = _merge_classes([source.classes for source in sources])
    image_ids = _new_image_ids(sources)
    merged: dict[str, dict[str, Any]] = {}
    for kind in FILE_KINDS:
        if any(kind in source.files for source in sources):
            merged[kind] = _merge_kind(kind, sources, classes, image_ids)
    with draft_folder(out_dir) as draft:
        (draft / 'annotations').mkdir()
        for kind, content in merged.items():
            write_json(draft / 'annotations' / f'{kind}.json', content)
        maps = sum(_rewrite_maps(source, classes, draft / 'stuffthingmaps') for source in sources if source.maps)
        if classes.ids:
            write_classes(draft, classes)
    counts = {kind: len(content.get('annotations', ())) for kind, content in merged.items()}
    return {'images': sum(len(ids) for ids in image_ids), **counts, 'maps': maps}


def _read(entry: Mapping[str, str]) -> _SourceSet:
    unknown = set(entry) - set(OPTIONS)
    if unknown or not set(entry) & set(FILE_KINDS):
        raise ValueError(f'a set consists of {OPTIONS} with at least one file, got {dict(entry)}')
    paths = {kind: entry[kind] for kind in FILE_KINDS if kind in entry}
    files = {kind: read_coco(path) for kind, path in paths.items()}
    maps = Path(entry['maps']) if 'maps' in entry else None
    if maps is not None and not maps.is_dir():
        raise FileNotFoundError(f'folder of semantic maps {maps} does not exist')
    return _SourceSet(files, paths, _source_classes(entry, files), maps, entry.get('prefix', ''))


def _source_classes(entry: Mapping[str, str], files: Mapping[str, dict]) -> ClassList:
    """Classes of a set: of its classes.json or panoptic file, else things of instances and stuff of stuff."""
    if 'classes' in entry:
        return read_classes(entry['classes'])
    if 'panoptic' in files:
        return class_list(files['panoptic'].get('categories'), entry['panoptic'])
    categories = []
    for kind in ('instances', 'stuff'):
        if kind in files:
            found = files[kind].get('categories')
            class_list(found, entry[kind])
            categories += [{**one, 'isthing': int(kind == 'instances')} for one in found or ()]
    return class_list(categories, ' and '.join(entry[kind] for kind in files))


def _merge_classes(lists: Sequence[ClassList]) -> ClassList:
    ids: dict[str, int] = {}
    names: dict[int, str] = {}
    is_thing: dict[str, bool] = {}
    clash = False
    for classes in lists:
        for name, number in classes.ids.items():
            thing = name in classes.things
            if is_thing.setdefault(name, thing) != thing:
                raise ValueError(f'class {name!r} is a thing in one data set and stuff in another: rename one of them')
            clash |= ids.setdefault(name, number) != number or names.setdefault(number, name) != name
    things = [name for name in ids if is_thing[name]]
    stuff = [name for name in ids if not is_thing[name]]
    if clash:
        return ClassList.number(things, stuff)
    return ClassList(
        tuple(things), tuple(stuff), tuple(ids[name] for name in things), tuple(ids[name] for name in stuff)
    )


def _new_image_ids(sources: Sequence[_SourceSet]) -> list[dict[Any, Any]]:
    """New id of every image by its old one, for each set; checks that file names stay unique."""
    images = []
    owner: dict[str, int] = {}
    for number, source in enumerate(sources):
        found: dict[Any, str] = {}
        for kind, content in source.files.items():
            for image in content['images']:
                # Panoptic files may list PNGs; other kinds name the image itself.
                known = found.setdefault(image['id'], image['file_name'])
                if Path(known).stem != Path(image['file_name']).stem:
                    raise ValueError(f'{source.paths[kind]}: image {image["id"]} is {image["file_name"]}, not {known}')
        images.append(found)
        for name in found.values():
            first = owner.setdefault(source.prefix + str(Path(name).with_suffix('')), number)
            if first != number:
                raise ValueError(
                    f'sets {first + 1} and {number + 1} both have an image called {name}: give the sets prefixes, e.g. '
                    'prefix=north/ and prefix=south/, and put their images into folders of these names'
                )
    every = [image for found in images for image in found]
    if len(set(every)) == len(every):
        return [{image: image for image in found} for found in images]
    count = iter(range(1, len(every) + 1))
    return [{image: next(count) for image in found} for found in images]


def _merge_kind(
    kind: str, sources: Sequence[_SourceSet], classes: ClassList, image_ids: Sequence[Mapping]
) -> dict[str, Any]:
    images, annotations = [], []
    for source, new_image in zip(sources, image_ids, strict=True):
        content = source.files.get(kind, {'images': [], 'annotations': []})
        new_class = _new_class_ids(source.classes, classes)
        for image in content['images']:
            images.append({**image, 'id': new_image[image['id']], 'file_name': source.prefix + image['file_name']})
        for annotation in content.get('annotations', ()):
            where = f'{source.paths[kind]}: annotation {annotation.get("id")} of image {annotation["image_id"]}'
            annotations.append(_renumber(annotation, new_image, new_class, source.prefix, where))
    ids = [annotation['id'] for annotation in annotations if 'id' in annotation]
    if len(set(ids)) != len(ids):
        for number, annotation in enumerate(annotations, start=1):
            annotation['id'] = number
    merged = {'info': {'description': 'merged'}, 'licenses': [], 'images': images, 'annotations': annotations}
    if kind == 'stuff':
        merged['categories'] = [c for c in classes.categories(stuff=True) if not c['isthing']]
    elif kind != 'captions':
        merged['categories'] = classes.categories(stuff=kind == 'panoptic')
    return merged


def _renumber(annotation: Mapping, new_image: Mapping, new_class: Mapping, prefix: str, where: str) -> dict[str, Any]:
    """One annotation with its new ids.

    Raises:
        ValueError: The image or the category is not listed.
    """
    try:
        changed = {**annotation, 'image_id': new_image[annotation['image_id']]}
        if 'category_id' in annotation:
            changed['category_id'] = new_class[annotation['category_id']]
        if 'segments_info' in annotation:
            segments = annotation['segments_info']
            changed['segments_info'] = [{**one, 'category_id': new_class[one['category_id']]} for one in segments]
            changed['file_name'] = prefix + annotation['file_name']
    except KeyError as error:
        raise ValueError(f'{where}: id {error} is not listed in the file') from error
    return changed


def _new_class_ids(old: ClassList, new: ClassList) -> dict[int, int]:
    return {number: new.ids[name] for name, number in old.ids.items()}


def _rewrite_maps(source: _SourceSet, classes: ClassList, folder: Path) -> int:
    lut = np.full(256, FOREIGN, np.uint8)
    lut[UNLABELLED] = UNLABELLED
    for old, new in _new_class_ids(source.classes, classes).items():
        if not 1 <= old < UNLABELLED:
            raise ValueError(f'{source.maps}: category id {old} does not fit into an 8-bit map')
        lut[old - 1] = new - 1
    names = {image['file_name'] for content in source.files.values() for image in content['images']}
    done = 0
    for name in sorted({Path(name).with_suffix('.png') for name in names}):
        path = (source.maps or Path()) / name
        if not path.is_file():
            continue
        values = lut[read_semantic_map(str(path))]
        if (values == FOREIGN).any():
            raise ValueError(f'{path} holds ids of no class of the set: name its stuff with classes=CLASSES.json')
        target = folder / f'{source.prefix}{name}'
        target.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(target), values):
            raise OSError(f'could not write {target}: is the disk full?')
        done += 1
    return done
