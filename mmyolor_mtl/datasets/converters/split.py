"""Splits annotation files in COCO's layout into parts for training, validation and so on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .files import read_coco, write_json


def split_coco(
    paths: Sequence[str | Path],
    *,
    ratios: Mapping[str, float] | None = None,
    lists: Mapping[str, str | Path] | None = None,
    rest: str | None = None,
    seed: int = 0,
    out_dir: str | Path | None = None,
) -> dict[str, int]:
    """Split files of one data set (instances, captions, stuff, panoptic) alike, image by image.

    ``instances.json`` becomes ``instances_train.json``, ``instances_val.json``, ... A file of a split is left out
    when none of its images is in it.

    Args:
        paths: The files. An image is the same in all of them if its id is.
        ratios: Shares of the splits, e.g. ``{'train': 0.8, 'val': 0.2}``, which sum to 1. Rare classes get onto all
            sides where they have enough images.
        lists: Instead of ``ratios``: text files that name the images of each split, one a line: a file name, with or
            without suffix and folders, or an id.
        rest: With ``lists``: split of the images that no list names; None leaves them out.
        seed: Of the random order, for ``ratios``.
        out_dir: Folder of the results; None writes each beside its original.

    Returns:
        dict[str, int]: Images of each split.

    Raises:
        FileNotFoundError: A file does not exist.
        FileExistsError: A result exists already.
        ValueError: Ratios, lists and images do not fit together.
    """
    if (ratios is None) == (lists is None):
        raise ValueError('give either ratios or lists')
    contents = {Path(path): read_coco(path) for path in paths}
    names = {image['id']: image['file_name'] for content in contents.values() for image in content['images']}
    if ratios is not None:
        split_of = _by_ratio(sorted(names, key=str), _labels(contents.values()), ratios, seed)
    else:
        split_of = _by_list(names, lists or {}, rest)
    splits = list(dict.fromkeys([*(ratios or lists or ()), *([rest] if rest else [])]))
    results = {}
    for path, content in contents.items():
        for split in splits:
            target = Path(out_dir or path.parent) / f'{path.stem}_{split}.json'
            if target.exists():
                raise FileExistsError(f'{target} exists: remove it, or give another folder with --out-dir')
            part = _select(content, {image for image, name in split_of.items() if name == split})
            if part['images']:
                results[target] = part
    for target, part in results.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_json(target, part)
    return {split: sum(name == split for name in split_of.values()) for split in splits}


def _select(content: Mapping[str, Any], images: set) -> dict[str, Any]:
    part = {**content, 'images': [image for image in content['images'] if image['id'] in images]}
    if 'annotations' in content:
        part['annotations'] = [ann for ann in content['annotations'] if ann['image_id'] in images]
    return part


def _labels(contents: Any) -> dict[Any, set]:
    """Category ids of each image, and 'captions' for those with a sentence."""
    labels: dict[Any, set] = defaultdict(set)
    for content in contents:
        for ann in content.get('annotations', ()):
            found = labels[ann['image_id']]
            found.update(segment['category_id'] for segment in ann.get('segments_info', ()))
            found.update(['captions'] if 'caption' in ann else [ann['category_id']] if 'category_id' in ann else [])
    return labels


def _by_ratio(images: list, labels: Mapping[Any, set], ratios: Mapping[str, float], seed: int) -> dict[Any, str]:
    """Iterative stratification (Sechidis et al. 2011): the rarest class is shared out first."""
    if not ratios or min(ratios.values()) <= 0 or abs(sum(ratios.values()) - 1) > 1e-6:
        raise ValueError(f'shares must be positive and sum to 1, got {dict(ratios)}')
    splits = list(ratios)
    shares = np.array([ratios[split] for split in splits])
    order = [images[i] for i in np.random.default_rng(seed).permutation(len(images))]
    of_class: dict[Any, list] = defaultdict(list)
    for image in order:
        for label in labels.get(image, ()):
            of_class[label].append(image)
    open_places = _whole_places(len(images), shares)
    # Every side wants a class at least once, which decides for the rare ones.
    wanted = {label: np.maximum(shares * len(members), 1) for label, members in of_class.items()}
    split_of: dict[Any, str] = {}
    # Images without any label come last and fill the places that are left.
    for members in [*(of_class[label] for label in sorted(of_class, key=lambda c: (len(of_class[c]), str(c)))), order]:
        for image in members:
            if image in split_of:
                continue
            found = labels.get(image, ())
            rarest = min(found, key=lambda c: (len(of_class[c]), str(c)), default=None)
            need = wanted[rarest] if rarest is not None else open_places.astype(float)
            chosen = max(
                (i for i in range(len(splits)) if open_places[i] > 0),
                key=lambda i: (need[i], open_places[i] / shares[i]),
            )
            split_of[image] = splits[chosen]
            open_places[chosen] -= 1
            for label in found:
                wanted[label][chosen] -= 1
    return split_of


def _whole_places(count: int, shares: np.ndarray) -> np.ndarray:
    """Images of each split: whole numbers that sum to ``count``, none of them 0 if that is possible."""
    places = np.floor(shares * count).astype(int)
    for i in np.argsort(places - shares * count)[: count - places.sum()]:
        places[i] += 1
    for i in np.flatnonzero(places == 0):
        if places.max() > 1:
            places[places.argmax()] -= 1
            places[i] += 1
    return places


def _by_list(names: Mapping[Any, str], lists: Mapping[str, str | Path], rest: str | None) -> dict[Any, str]:
    keys: dict[str, set] = defaultdict(set)
    for image, name in names.items():
        file = Path(name)
        for key in {name, str(file.with_suffix('')), file.name, file.stem, str(image)}:
            keys[key].add(image)
    split_of: dict[Any, str] = {}
    for split, path in lists.items():
        if not Path(path).is_file():
            raise FileNotFoundError(f'list of images {path} does not exist')
        for number, line in enumerate(Path(path).read_text(encoding='utf-8-sig').splitlines(), start=1):
            entry = line.strip()
            if not entry:
                continue
            found = keys.get(entry) or keys.get(Path(entry).name, set())
            if len(found) != 1:
                kind = 'several images are' if found else 'no image is'
                raise ValueError(f'{path}:{number}: {kind} called {entry!r} in the annotation files')
            image = next(iter(found))
            if split_of.setdefault(image, split) != split:
                raise ValueError(f'{path}:{number}: {entry!r} is in the split {split_of[image]!r} already')
    if rest:
        return {image: split_of.get(image, rest) for image in names}
    return split_of
