"""Samplers whose samples do not depend on the number of processes: they hand out an index together with a seed."""

import math
import random
from collections.abc import Iterator, Sequence, Sized

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmyolor_mtl.registry import DATA_SAMPLERS


class Visit(int):
    """The index of a sample, and the seed of the random numbers that this visit of it uses.

    It is an ordinary int for everything that does not ask for the seed; arithmetic gives ordinary ints.

    Args:
        index (int): Index of the sample.
        seed (int): In [0, 2**32).
    """

    seed: int

    def __new__(cls, index: int, seed: int) -> 'Visit':
        """Make an int with a seed."""
        visit = super().__new__(cls, index)
        visit.seed = seed
        return visit

    def __getnewargs__(self) -> tuple[int, int]:  # type: ignore[override]  # copies and worker queues keep the seed
        return int(self), self.seed

    def __repr__(self) -> str:
        return f'Visit({int(self)}, seed={self.seed})'


def seed_visit(idx: int) -> None:
    """Seed the global generators of NumPy, ``random`` and torch (CPU) if ``idx`` is a :class:`Visit`.

    A data set calls it before it prepares a sample: what a transform draws then depends on the visit alone, and not on
    what the same process prepared before. An ordinary index leaves the generators as they are.
    """
    if isinstance(idx, Visit):
        np.random.seed(idx.seed)
        random.seed(idx.seed)
        torch.default_generator.manual_seed(idx.seed)  # the GPU's generators belong to the model


@DATA_SAMPLERS.register_module()
class MTLSampler(Sampler):
    """Every sample once an epoch, the same sequence of visits for any number of processes and workers.

    The sequence and its seeds follow from ``seed`` and the epoch. Process r of n takes the visits r, r + n, ...; so the
    k-th batches of n processes hold together what the k-th batch of one process with n times the batch size holds.

    Args:
        dataset (Sized): The data set; it calls :func:`seed_visit`, as ``COCOMultiTaskDataset`` does.
        shuffle (bool): A new order each epoch; otherwise the data set's own.
        seed (int, optional): The same in all processes. The runner gives its own; None draws one for all of them.
        round_up (bool): Visit the first samples again, with other seeds, until all processes have equally many.

    Raises:
        ValueError: The data set is empty.
    """

    def __init__(self, dataset: Sized, *, shuffle: bool = True, seed: int | None = None, round_up: bool = True) -> None:
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = int(sync_random_seed() if seed is None else seed)
        self.round_up = round_up
        self.epoch = 0
        self.epoch_length = len(dataset)
        if not self.epoch_length:
            raise ValueError(f'{type(self).__name__}: the data set is empty')

    def visits(self) -> list[Visit]:
        """The visits of this epoch in all processes, in order."""
        indices = self._order()
        if self.round_up:
            indices = np.resize(indices, math.ceil(len(indices) / self.world_size) * self.world_size)
        seeds = np.random.SeedSequence((self.seed, self.epoch)).generate_state(len(indices))
        return [Visit(index, seed) for index, seed in zip(indices.tolist(), seeds.tolist(), strict=True)]

    def _order(self) -> np.ndarray:
        indices = np.arange(self.epoch_length)
        return _generator(self.seed, self.epoch).permutation(indices) if self.shuffle else indices

    def __iter__(self) -> Iterator[Visit]:
        """The visits of this process."""
        return iter(self.visits()[self.rank :: self.world_size])

    def __len__(self) -> int:
        """Number of visits of this process."""
        own = self.epoch_length if self.round_up else self.epoch_length - self.rank
        return math.ceil(own / self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Tell the epoch, which order and seeds depend on; the runner does it."""
        self.epoch = epoch


@DATA_SAMPLERS.register_module()
class RatioSampler(MTLSampler):
    """Several data sets in given proportions, whatever their sizes.

    Of ``epoch_length`` visits each data set gets its share to the nearest whole number (largest remainders). The visits
    of a data set go through all its samples in random order before any comes again, on from one epoch to the next.
    They are spread evenly over the epoch: every stretch of it, and so nearly every batch, follows the ratios.

    Args:
        dataset (ConcatDataset): :class:`MixedDataset`, which passes the seeds on.
        ratios (Sequence[float]): One number a data set, in its order; only their proportions matter, 0 leaves it out.
        epoch_length (int, optional): Visits an epoch in all processes. By default the sum of the sizes.
        seed (int, optional): As for :class:`MTLSampler`.
        round_up (bool): As for :class:`MTLSampler`.

    Raises:
        TypeError: ``dataset`` does not consist of several.
        ValueError: The ratios do not fit the data sets, or ``epoch_length`` is not positive.
    """

    def __init__(
        self,
        dataset: Sized,
        *,
        ratios: Sequence[float],
        epoch_length: int | None = None,
        seed: int | None = None,
        round_up: bool = True,
    ) -> None:
        super().__init__(dataset, seed=seed, round_up=round_up)
        parts = getattr(dataset, 'datasets', None)
        if parts is None:
            raise TypeError(f'RatioSampler needs a data set made of several, such as MixedDataset, not {type(dataset)}')
        self.sizes = [len(part) for part in parts]
        shares = np.asarray(ratios, dtype=np.float64)
        if shares.shape != (len(self.sizes),) or not np.isfinite(shares).all() or shares.min() < 0 or not shares.any():
            raise ValueError(
                f'ratios={ratios} must be {len(self.sizes)} numbers, one for each data set, none negative and not all 0'
            )
        if epoch_length is not None:
            if epoch_length <= 0:
                raise ValueError(f'epoch_length={epoch_length} must be positive')
            self.epoch_length = int(epoch_length)
        self.counts = _apportion(shares, self.epoch_length)

    def _order(self) -> np.ndarray:
        starts = np.cumsum([0, *self.sizes[:-1]])
        parts = [start + self._take(number) for number, start in enumerate(starts)]
        # Visit k of n falls at random within the k-th of n equal parts of the epoch. Without the randomness the data
        # sets could alternate in step with the processes, and one of these would see a single data set.
        generator = _generator(self.seed, self.epoch)
        times = [(np.arange(count) + generator.random(count)) / max(count, 1) for count in self.counts]
        return np.concatenate(parts)[np.argsort(np.concatenate(times), kind='stable')]

    def _take(self, number: int) -> np.ndarray:
        """This epoch's part of one data set's endless sequence of shuffled rounds."""
        count, size = self.counts[number], self.sizes[number]
        if not count:
            return np.zeros(0, dtype=np.int64)
        first_round, offset = divmod(self.epoch * count, size)
        rounds = range(first_round, first_round + math.ceil((offset + count) / size))
        samples = [_generator(self.seed, number, turn, 1).permutation(size) for turn in rounds]
        return np.concatenate(samples)[offset : offset + count]


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key))


def _apportion(shares: np.ndarray, total: int) -> list[int]:
    """Whole numbers proportional to ``shares`` that add up to ``total``, by largest remainders."""
    exact = shares * (total / shares.sum())
    counts = np.floor(exact).astype(int)
    order = np.argsort(counts - exact, kind='stable')
    counts[order[: total - counts.sum()]] += 1
    return counts.tolist()
