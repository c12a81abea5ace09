"""What is computed from COCO's files: semantic maps where there are none, and Karpathy's image lists."""

import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from ..semantic_maps import render_semantic_map
from .coco_archives import SPLITS
from .files import read_coco, read_json
from .progress import Progress


class _Painting(NamedTuple):
    path: Path
    size: tuple[int, int]
    instances: list[dict]
    stuff: list[dict]


def make_semantic_maps(root: Path, split: str, workers: int = 1) -> int:
    """Paint ``stuffthingmaps/{split}/*.png`` from instances and stuff JSON, for images of both that have none.

    Args:
        root: Folder of the data set.
        split: 'train2017' or 'val2017'.
        workers: Processes.

    Returns:
        int: Maps painted; 0 if one of the files is missing.

    Raises:
        ValueError: An annotation cannot be painted; names the file and the annotation.
        OSError: A map cannot be written.
    """
    stuff_file = root / 'annotations' / f'stuff_{split}.json'
    instances_file = root / 'annotations' / f'instances_{split}.json'
    if not stuff_file.is_file() or not instances_file.is_file():
        return 0
    folder = root / 'stuffthingmaps' / split
    folder.mkdir(parents=True, exist_ok=True)
    with os.scandir(folder) as entries:
        there = {Path(entry.name).stem for entry in entries if entry.stat().st_size}
    # The larger file is read only if something is to be done.
    stuff = read_coco(stuff_file) if _lacks_some(instances := read_coco(instances_file), there) else {'images': []}
    both = {image['id'] for image in stuff['images']}
    images = [i for i in instances['images'] if i['id'] in both and Path(i['file_name']).stem not in there]
    if not images:
        return 0
    regions, objects = _by_image(stuff), _by_image(instances)
    jobs = [
        _Painting(
            folder / f'{Path(image["file_name"]).stem}.png',
            (image['height'], image['width']),
            objects[image['id']],
            regions[image['id']],
        )
        for image in images
    ]
    _paint_all(jobs, workers, f'semantic maps of {split}', f'{instances_file} or {stuff_file}')
    return len(jobs)


def _lacks_some(instances: Mapping[str, Any], there: set[str]) -> bool:
    return any(Path(image['file_name']).stem not in there for image in instances['images'])


def _by_image(content: Mapping[str, Any]) -> dict[Any, list[dict]]:
    found: dict[Any, list[dict]] = defaultdict(list)
    for annotation in content.get('annotations', ()):
        found[annotation['image_id']].append(annotation)
    return found


def _paint_all(jobs: list[_Painting], workers: int, label: str, source: str) -> None:
    with Progress(label, len(jobs)) as progress:
        try:
            if workers == 1:
                for job in jobs:
                    _paint(job)
                    progress.step()
                return
            context = get_context('fork' if sys.platform == 'linux' else 'spawn')
            with ProcessPoolExecutor(workers, mp_context=context) as pool:
                for _ in pool.map(_paint, jobs, chunksize=max(1, min(32, len(jobs) // (4 * workers)))):
                    progress.step()
        except ValueError as error:
            raise ValueError(f'{source}: {error}') from error


def _paint(job: _Painting) -> None:
    values = render_semantic_map(job.instances, job.stuff, *job.size)
    draft = job.path.with_name(f'.{job.path.name}.part')
    try:
        draft.write_bytes(cv2.imencode('.png', values)[1].tobytes())
        os.replace(draft, job.path)
    finally:
        draft.unlink(missing_ok=True)


def karpathy_lists(path: Path, root: Path) -> dict[str, list[str]]:
    """Image lists of Karpathy's split, which was made for COCO 2014, for the images of 2017 (they keep their ids).

    Args:
        path: ``dataset_coco.json``.
        root: Folder of the data set; its captions files say in which folder an image is.

    Returns:
        dict[str, list[str]]: File names such as ``train2017/000000000009.jpg`` for ``train`` (with *restval*, as is
        usual), ``val`` and ``test``; images that the files do not list are left out.

    Raises:
        ValueError: The file has another layout.
    """
    content = read_json(path)
    try:
        split_of = {int(image['cocoid']): image['split'] for image in content['images']}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} is not the dataset_coco.json of Karpathy: it needs images with cocoid, split'
        ) from error
    found: dict[str, list[str]] = {'train': [], 'val': [], 'test': []}
    for split in SPLITS:
        file = root / 'annotations' / f'captions_{split}.json'
        for image in read_coco(file)['images'] if file.is_file() else ():
            name = split_of.get(image['id'])
            if name is not None:
                found['train' if name == 'restval' else name].append(f'{split}/{image["file_name"]}')
    return {name: sorted(lines) for name, lines in found.items()}
