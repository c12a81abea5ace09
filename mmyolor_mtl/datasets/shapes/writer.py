"""Writes Shapes to disk, laid out as COCO is."""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmyolor_mtl.models.text.tokenizer import WordTokenizer

from .captions import write_captions
from .labels import categories, describe, semantic_map
from .scene import MAX_SIZE, MIN_SIZE, SPLITS, generate_scene

MARKER = 'shapes.json'
VERSION = 1
# Image ids of the splits never meet, and those of one split do not depend on the size of the other.
FIRST_ID = {'train': 1, 'val': 500_000_001}
MAX_COUNT = 499_999_999
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]

Progress = Callable[[int, int], None]


def write_shapes(
    out_dir: str | Path,
    train: int,
    val: int,
    size: int | tuple[int, int] = 192,
    seed: int = 0,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Generate a Shapes data set; equal arguments give equal bytes, whatever ``workers`` is.

    The data are written beside ``out_dir`` and moved there when complete, so an interrupted run leaves nothing half
    done.

    Args:
        out_dir: Folder to make. It holds ``train2017/``, ``val2017/``, ``annotations/`` (instances, captions, panoptic,
            ``vocab.txt``), ``stuffthingmaps/`` and ``shapes.json`` (the arguments).
        train: Number of training images, at least 1.
        val: Number of validation images, at least 0.
        size: Side of the square images or (width, height), 32 to 4096 px.
        seed: Seed, at least 0.
        workers: Processes that draw.
        overwrite: Whether to replace an older Shapes data set in ``out_dir``.
        progress: Called with (images done, images in all) now and then.

    Raises:
        ValueError: A count, the size, the seed or the number of workers is out of range.
        FileExistsError: ``out_dir`` exists and is not empty; with ``overwrite``, holds something other than Shapes.
    """
    out_dir = Path(out_dir)
    width, height = (size, size) if isinstance(size, int) else size
    _check_numbers(train, val, width, height, seed, workers)
    _check_target(out_dir, overwrite)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f'.{out_dir.name}-', dir=out_dir.parent))
    try:
        draft.chmod(0o755)
        _fill(draft, {'train': train, 'val': val}, width, height, seed, workers, progress)
        _replace(draft, out_dir)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out_dir


def _check_numbers(train: int, val: int, width: int, height: int, seed: int, workers: int) -> None:
    limits = {
        'train': (train, 1, MAX_COUNT),
        'val': (val, 0, MAX_COUNT),
        'width': (width, MIN_SIZE, MAX_SIZE),
        'height': (height, MIN_SIZE, MAX_SIZE),
        'seed': (seed, 0, 2**63 - 1),
        'workers': (workers, 1, 1024),
    }
    for name, (value, low, high) in limits.items():
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f'{name} must be a whole number from {low} to {high}, got {value!r}')


def _check_target(out_dir: Path, overwrite: bool) -> None:
    if not out_dir.exists() and not out_dir.is_symlink():
        return
    if not out_dir.is_dir():
        raise FileExistsError(f'{out_dir} is not a folder: choose another output folder')
    if not any(out_dir.iterdir()):
        return
    if not overwrite:
        raise FileExistsError(f'{out_dir} is not empty: choose another folder, or replace it with --overwrite')
    if not (out_dir / MARKER).is_file():
        raise FileExistsError(f'{out_dir} has no {MARKER}, so it is not a Shapes data set and will not be replaced')


def _replace(draft: Path, out_dir: Path) -> None:
    """Move ``draft`` to ``out_dir``; what was there goes only after the new data are in place."""
    if out_dir.is_dir():
        old = Path(tempfile.mkdtemp(prefix=f'.{out_dir.name}-old-', dir=out_dir.parent))
        out_dir.rename(old / 'data')
        draft.rename(out_dir)
        shutil.rmtree(old)
    else:
        draft.rename(out_dir)


def _fill(
    root: Path, counts: dict[str, int], width: int, height: int, seed: int, workers: int, progress: Progress | None
) -> None:
    (root / 'annotations').mkdir()
    for split in SPLITS:
        for folder in (f'{split}2017', f'stuffthingmaps/{split}2017', f'annotations/panoptic_{split}2017'):
            (root / folder).mkdir(parents=True)
    jobs = [(split, index) for split in SPLITS for index in range(counts[split])]
    draw = partial(_write_image, root, seed, width, height)
    records: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    # Closing stops the workers before the caller removes the folder that they write to.
    with closing(_each(draw, jobs, workers)) as results:
        for done, ((split, _), record) in enumerate(zip(jobs, results, strict=True), start=1):
            records[split].append(record)
            if progress is not None and (done % 20 == 0 or done == len(jobs)):
                progress(done, len(jobs))
    info = {'version': VERSION, 'seed': seed, 'width': width, 'height': height, **counts}
    for split in SPLITS:
        _write_annotations(root, split, records[split], f'Shapes, {split}, seed {seed}')
    WordTokenizer.build(caption for record in records['train'] for caption in record['captions']).save(
        root / 'annotations' / 'vocab.txt'
    )
    _dump(info, root / MARKER)


def _each(
    draw: Callable[[tuple[str, int]], Any], jobs: list[tuple[str, int]], workers: int
) -> Generator[Any, None, None]:
    """Results of ``draw`` in order."""
    # OpenCV's own threads gain nothing on pictures of this size, and must not be running when the process forks.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        if workers == 1:
            yield from map(draw, jobs)
            return
        # A forked worker starts at once, a spawned one first imports the package anew; only Linux forks safely.
        context = get_context('fork' if sys.platform == 'linux' else 'spawn')
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            yield from pool.map(draw, jobs, chunksize=max(1, min(32, len(jobs) // (4 * workers))))
    finally:
        cv2.setNumThreads(threads)


def _write_image(root: Path, seed: int, width: int, height: int, job: tuple[str, int]) -> dict[str, Any]:
    """Draw one scene, write its three pictures, return what goes into the JSON files."""
    split, index = job
    scene = generate_scene(seed, split, index, height, width)
    captions = write_captions(scene, np.random.default_rng([seed, SPLITS.index(split), index, 1 << 20]))
    instances, segments, panoptic = describe(scene)
    image_id = FIRST_ID[split] + index
    stem = f'{image_id:012d}'
    _save(root / f'{split}2017' / f'{stem}.jpg', np.ascontiguousarray(scene.image[..., ::-1]), _JPEG)
    _save(root / 'stuffthingmaps' / f'{split}2017' / f'{stem}.png', semantic_map(scene), [])
    _save(root / 'annotations' / f'panoptic_{split}2017' / f'{stem}.png', np.ascontiguousarray(panoptic[..., ::-1]), [])
    return {'id': image_id, 'size': (height, width), 'captions': captions, 'instances': instances, 'segments': segments}


def _save(path: Path, image: np.ndarray, options: list[int]) -> None:
    if not cv2.imwrite(str(path), image, options):
        raise OSError(f'could not write {path}: is the disk full?')


def _write_annotations(root: Path, split: str, records: list[dict[str, Any]], description: str) -> None:
    head = {'info': {'description': description, 'version': str(VERSION)}, 'licenses': []}
    images, instances, captions, panoptic = [], [], [], []
    first = FIRST_ID[split]
    for record in records:
        image_id, (height, width) = record['id'], record['size']
        images.append({'id': image_id, 'file_name': f'{image_id:012d}.jpg', 'height': height, 'width': width})
        for caption in record['captions']:
            captions.append({'id': first + len(captions), 'image_id': image_id, 'caption': caption})
        for instance in record['instances']:
            instances.append({'id': first + len(instances), 'image_id': image_id, **instance})
        panoptic.append(
            {'image_id': image_id, 'file_name': f'{image_id:012d}.png', 'segments_info': record['segments']}
        )
    folder, body = root / 'annotations', {**head, 'images': images}
    _dump({**body, 'annotations': instances, 'categories': categories()}, folder / f'instances_{split}2017.json')
    _dump({**body, 'annotations': captions}, folder / f'captions_{split}2017.json')
    _dump(
        {**body, 'annotations': panoptic, 'categories': categories(stuff=True)}, folder / f'panoptic_{split}2017.json'
    )


def _dump(content: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content, separators=(',', ':')) + '\n', encoding='utf-8', newline='\n')
