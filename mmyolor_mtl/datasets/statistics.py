"""Figures of a data set: objects by class and size, pixels by class, captions, and which labels the images carry."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from .label_files import LabelFiles, Progress
from .label_space import UNLABELLED
from .transforms import LoadMTLAnnotations
from .validation import Problems

SMALL, LARGE = 32, 96  # px: COCO's bounds between small, medium and large, as sides of a square
_THREADS = 4
_COMMON_WORDS = 50


@dataclass
class DatasetStatistics:
    """Figures of one data set.

    Attributes:
        source: Name of the data set.
        names: Names of all semantic classes: things, then stuff, then those without a name in files.
        num_things: How many of them are things.
        objects: (num_things,) objects of each class, crowds left out.
        images_with: (num_things,) images with such an object.
        crowds: Number of crowd regions.
        sides: (n,) square root of each object's box area, px.
        per_image: (m,) objects of each image labelled for boxes.
        pixels: (C,) labelled pixels of each class in the maps that were looked at.
        unlabelled: Unlabelled pixels in them.
        maps: Number of these maps, and of all.
        caption_lengths: (c,) words of each caption.
        words: How often each word occurs.
        coverage: Images by the tasks they are labelled for.
        sizes: (images, 2) width and height, px.
    """

    source: str
    names: Sequence[str]
    num_things: int
    objects: np.ndarray
    images_with: np.ndarray
    crowds: int
    sides: np.ndarray
    per_image: np.ndarray
    pixels: np.ndarray
    unlabelled: int
    maps: tuple[int, int]
    caption_lengths: np.ndarray
    words: Counter
    coverage: Counter
    sizes: np.ndarray

    def size_shares(self) -> dict[str, int]:
        """Objects by COCO's three sizes of their boxes."""
        small, large = int((self.sides < SMALL).sum()), int((self.sides >= LARGE).sum())
        return {'small': small, 'medium': len(self.sides) - small - large, 'large': large}

    def summary(self) -> dict[str, Any]:
        """All figures as JSON has them; distributions as minimum, quartiles, maximum and mean."""
        pixels = max(int(self.pixels.sum()), 1)
        return {
            'source': self.source,
            'images': len(self.sizes),
            'coverage': {'+'.join(tasks) or 'none': number for tasks, number in self.coverage.most_common()},
            'image_width': _distribution(self.sizes[:, 0]),
            'image_height': _distribution(self.sizes[:, 1]),
            'objects': int(self.objects.sum()),
            'crowds': self.crowds,
            'objects_by_class': {
                name: {'objects': int(number), 'images': int(images)}
                for name, number, images in zip(self.names, self.objects, self.images_with, strict=False)
            },
            'objects_by_size': self.size_shares(),
            'box_sqrt_area': _distribution(self.sides),
            'objects_per_image': _distribution(self.per_image),
            'semantic_maps': {'sampled': self.maps[0], 'all': self.maps[1]},
            'unlabelled_pixels': self.unlabelled / max(self.unlabelled + pixels, 1) if self.maps[0] else None,
            'pixel_share_by_class': (
                {name: int(n) / pixels for name, n in zip(self.names, self.pixels, strict=True)} if self.maps[0] else {}
            ),
            'captions': len(self.caption_lengths),
            'words_per_caption': _distribution(self.caption_lengths),
            'vocabulary': {
                'words': len(self.words),
                'occurring_once': sum(number == 1 for number in self.words.values()),
                'most_common': dict(self.words.most_common(_COMMON_WORDS)),
            },
        }


def _distribution(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    marks = np.percentile(values, [0, 25, 50, 75, 100])
    keys = ('min', 'quarter', 'median', 'three_quarters', 'max')
    return {**{key: float(mark) for key, mark in zip(keys, marks, strict=True)}, 'mean': float(np.mean(values))}


def collect_statistics(
    files: LabelFiles,
    split_words: Callable[[str], list[str]],
    max_maps: int = 1000,
    progress: Progress | None = None,
) -> DatasetStatistics:
    """Count everything.

    Args:
        files (LabelFiles): The data set.
        split_words (Callable): Cuts a caption into words.
        max_maps (int): At most so many semantic maps are read, evenly spread over the data set.
        progress (Callable, optional): Called with the number of maps read and of those to read.

    Returns:
        DatasetStatistics: The figures.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file cannot be understood or has faults that training would refuse.
    """
    problems = Problems(files.name)
    files.contents.check(files.labels, problems)
    problems.raise_if_any()
    infos, classes = files.infos, files.classes
    names = [*classes['classes'], *classes['stuff_classes'], *(classes.get('extra_classes') or ())]
    boxed = [info for info in infos if 'det' in info['labelled_tasks']]
    targets = [[one for one in info['instances'] if not one['ignore_flag']] for info in boxed]
    labels = np.array([one['bbox_label'] for objects in targets for one in objects], dtype=np.int64)
    boxes = np.array([one['bbox'] for objects in targets for one in objects]).reshape(-1, 4)
    num_things = len(classes['classes'])
    owners = np.repeat(np.arange(len(targets)), [len(objects) for objects in targets])
    pairs = np.unique(np.stack([owners, labels], axis=1), axis=0)
    texts = [split_words(caption) for info in infos for caption in info['captions']]
    pixels, maps = _count_pixels(files, max_maps, progress)
    return DatasetStatistics(
        source=files.name,
        names=names,
        num_things=num_things,
        objects=np.bincount(labels, minlength=num_things),
        images_with=np.bincount(pairs[:, 1], minlength=num_things),
        crowds=sum(len(info['instances']) for info in boxed) - len(labels),
        sides=np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1)),
        per_image=np.array([len(objects) for objects in targets], dtype=np.int64),
        pixels=pixels[: len(names)],
        unlabelled=int(pixels[UNLABELLED]),
        maps=maps,
        caption_lengths=np.array([len(words) for words in texts], dtype=np.int64),
        words=Counter(word for words in texts for word in words),
        coverage=files.coverage(),
        sizes=np.array([(info['width'], info['height']) for info in infos], dtype=np.int64).reshape(-1, 2),
    )


def _count_pixels(files: LabelFiles, max_maps: int, progress: Progress | None) -> tuple[np.ndarray, tuple[int, int]]:
    """(256,) pixels by label, and how many maps were read, of how many."""
    labelled = [info for info in files.infos if 'sem' in info['labelled_tasks']]
    number = min(max_maps, len(labelled))
    chosen = [labelled[i] for i in np.linspace(0, len(labelled) - 1, number).round().astype(int)] if number else []
    load = LoadMTLAnnotations(tasks=('sem',))

    def count(info: Mapping) -> np.ndarray:
        results = {**info, 'ori_shape': (info['height'], info['width']), 'dataset': files}
        return np.bincount(load.transform(results)['gt_seg_map'].ravel(), minlength=256)

    total = np.zeros(256, dtype=np.int64)
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        for done, counts in enumerate(pool.map(count, chosen), start=1):
            total += counts
            if progress and (done % 20 == 0 or done == number):
                progress(done, number)
    return total, (number, len(labelled))
