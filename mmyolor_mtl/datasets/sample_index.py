"""Which image, and which of its captions, each sample of a data set is."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from .label_space import VISION_TASKS

_ALL_CAPTIONS = -1


class SampleIndex:
    """Tables over samples and images; nothing but arrays, which worker processes share and never copy.

    Args:
        images (np.ndarray): (n,) int64, number of each sample's image.
        captions (np.ndarray): (n,) int64, which caption of its image a sample is, -1 for all of them.
        codes (np.ndarray): (number of images,) uint8, what each image is labelled for.
    """

    def __init__(self, images: np.ndarray, captions: np.ndarray, codes: np.ndarray) -> None:
        self._images, self._captions, self._codes = images, captions, codes
        # Partners are drawn among images, however many captions each of them has.
        first = np.unique(images, return_index=True)[1]
        self._by_code = {int(code): np.sort(first[codes == code]) for code in np.unique(codes)}
        # Shared memory: every worker process sees what the others found broken.
        self._broken = torch.zeros(len(codes), dtype=torch.uint8).share_memory_()

    @classmethod
    def of(cls, infos: Sequence[Mapping], by_caption: bool) -> 'SampleIndex':
        """Number the samples of some images.

        Args:
            infos (Sequence[Mapping]): One description an image, with ``captions`` and ``labelled_tasks``.
            by_caption (bool): One sample a caption; an image without any is one sample. Otherwise one sample an image.
        """
        counts = np.array([len(info['captions']) if by_caption else 0 for info in infos], dtype=np.int64)
        repeats = np.maximum(counts, 1)
        images = np.repeat(np.arange(len(infos)), repeats)
        captions = np.arange(len(images)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        codes = np.array([_task_code(info['labelled_tasks']) for info in infos], dtype=np.uint8)
        return cls(images, np.where(counts[images] > 0, captions, _ALL_CAPTIONS), codes)

    def __len__(self) -> int:
        return len(self._images)

    def locate(self, idx: int) -> tuple[int, int | None]:
        """Number of a sample's image, and which of its captions it is, None for all of them."""
        caption = int(self._captions[idx])
        return int(self._images[idx]), None if caption == _ALL_CAPTIONS else caption

    def partners(self, tasks: Iterable[str]) -> np.ndarray:
        """(n,) samples, one for each image that is labelled for exactly the same vision tasks, ascending."""
        return self._by_code.get(_task_code(tasks), np.zeros(0, dtype=np.int64))

    def subset(self, indices: Sequence[int] | int) -> tuple[list[int], 'SampleIndex']:
        """Choose samples, as mmengine's ``get_subset`` does.

        Args:
            indices (Sequence[int] | int): Samples; or how many from the start, or (negative) from the end.

        Returns:
            tuple: Numbers of the images that the chosen samples need, and the index of these images.
        """
        every = np.arange(len(self))
        if isinstance(indices, int):
            chosen = every[:indices] if indices >= 0 else every[indices:]
        else:
            chosen = every[np.asarray(indices, dtype=np.int64)]
        images, renumbered = np.unique(self._images[chosen], return_inverse=True)
        return images.tolist(), SampleIndex(renumbered.reshape(-1), self._captions[chosen], self._codes[images])

    def is_broken(self, idx: int) -> bool:
        """Whether the files of a sample's image could not be read once."""
        return bool(self._broken[int(self._images[idx])])

    def mark_broken(self, idx: int) -> None:
        """Note for all processes that the files of a sample's image cannot be read."""
        self._broken[int(self._images[idx])] = 1

    @property
    def num_broken(self) -> int:
        """Images marked so far."""
        return int(self._broken.sum())


def _task_code(tasks: Iterable[str]) -> int:
    return sum(1 << i for i, task in enumerate(VISION_TASKS) if task in tasks)
