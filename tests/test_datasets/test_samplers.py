import copy
import pickle
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from mmyolor_mtl.datasets import samplers
from mmyolor_mtl.datasets.samplers import MTLSampler, RatioSampler, Visit, seed_visit
from mmyolor_mtl.registry import DATA_SAMPLERS


class Draws(Dataset):
    """Samples are what the three generators draw; a sample draws more numbers the larger its index is."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, idx):
        seed_visit(idx)
        return int(idx), np.random.random(int(idx) + 1)[-1], random.random(), float(torch.rand(()))


class Parts(Dataset):
    """As much of a ``ConcatDataset`` as the sampler looks at."""

    def __init__(self, *sizes):
        self.datasets = [range(size) for size in sizes]
        self.starts = np.cumsum([0, *sizes])

    def __len__(self):
        return int(self.starts[-1])

    def part(self, idx):
        return int(np.searchsorted(self.starts, idx, side='right')) - 1


def of_rank(monkeypatch, rank, world_size):
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, world_size))


def told(visits):
    return [(int(visit), visit.seed) for visit in visits]


def test_visit_is_an_int_that_keeps_its_seed():
    visit = Visit(7, 2**32 - 1)
    assert visit == 7 and [0] * (visit + 1) == [0] * 8 and list(range(9))[visit] == 7 and hash(visit) == hash(7)
    for twin in (copy.copy(visit), copy.deepcopy(visit), pickle.loads(pickle.dumps(visit))):
        assert (twin, twin.seed) == (7, 2**32 - 1)
    assert type(visit - 3) is int
    assert repr(visit) == 'Visit(7, seed=4294967295)'


def test_seed_visit_seeds_all_three_and_leaves_them_for_plain_indices():
    dataset = Draws(9)
    first, second = dataset[Visit(5, 1)], dataset[Visit(5, 1)]
    assert first == second
    assert len({draw for drawn in (first, dataset[Visit(5, 2)], dataset[5], dataset[5]) for draw in drawn[1:]}) == 12


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_samples_do_not_depend_on_the_number_of_workers(workers):
    sampler = MTLSampler(Draws(12), seed=3)
    alone = [sampler.dataset[visit] for visit in sampler.visits()]
    torch.manual_seed(workers)
    loader = DataLoader(sampler.dataset, batch_size=5, sampler=sampler, num_workers=workers, collate_fn=list)
    assert [sample for batch in loader for sample in batch] == alone


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 40), batch=st.integers(1, 4), world=st.integers(1, 5), epoch=st.integers(0, 3))
@pytest.mark.parametrize('ratios', [None, (3, 1)])
def test_batches_of_all_processes_are_those_of_one(ratios, size, batch, world, epoch):
    def build(rank, world_size):
        with pytest.MonkeyPatch.context() as patch:
            of_rank(patch, rank, world_size)
            sampler = RatioSampler(Parts(size, 7), ratios=ratios, seed=1) if ratios else MTLSampler(Draws(size), seed=1)
        sampler.set_epoch(epoch)
        return sampler

    alone = told(build(0, 1))
    ranks = [build(rank, world) for rank in range(world)]
    seen = [told(sampler) for sampler in ranks]
    assert len({len(visits) for visits in seen}) == 1 and len(seen[0]) == len(ranks[0])
    for start in range(0, len(alone) // (batch * world) * batch, batch):
        together = sorted(visit for visits in seen for visit in visits[start : start + batch])
        assert together == sorted(alone[start * world : (start + batch) * world])
    # What is added to make them equally many comes last.
    assert told(ranks[0].visits())[: len(alone)] == alone


def test_without_rounding_up_every_sample_comes_once(monkeypatch):
    seen = []
    for rank in range(3):
        of_rank(monkeypatch, rank, 3)
        sampler = MTLSampler(Draws(10), seed=0, round_up=False)
        assert len(list(sampler)) == len(sampler)
        seen += sampler
    assert sorted(seen) == list(range(10))


def test_order_and_seeds_follow_seed_and_epoch():
    sampler = MTLSampler(Draws(20), seed=4)
    first = told(sampler)
    assert told(sampler) == first == told(MTLSampler(Draws(20), seed=4))
    sampler.set_epoch(1)
    second = told(sampler)
    assert sorted(i for i, _ in second) == sorted(i for i, _ in first) == list(range(20))
    assert not set(first) & set(second)
    assert told(MTLSampler(Draws(20), seed=5)) != first
    in_order = MTLSampler(Draws(20), seed=4, shuffle=False)
    assert list(in_order) == list(range(20)) and len({visit.seed for visit in in_order}) == 20


@settings(max_examples=100, deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9)), min_size=1, max_size=4).filter(
        lambda parts: any(ratio for _, ratio in parts)
    ),
    length=st.integers(1, 120),
)
def test_every_epoch_and_every_stretch_follow_the_ratios(parts, length):
    sizes, ratios = zip(*parts, strict=True)
    dataset = Parts(*sizes)
    sampler = RatioSampler(dataset, ratios=ratios, epoch_length=length, seed=2)
    wanted = length * np.array(ratios) / sum(ratios)
    assert sum(sampler.counts) == length == len(sampler)
    assert all(abs(count - want) < 1 for count, want in zip(sampler.counts, wanted, strict=True))
    seen = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        visits = list(sampler)
        seen += visits
        origin = np.array([dataset.part(idx) for idx in visits])
        assert np.bincount(origin, minlength=len(sizes)).tolist() == sampler.counts
        for number, count in enumerate(sampler.counts):
            so_far = np.cumsum(origin == number) - np.arange(1, length + 1) * count / length
            assert np.abs(so_far).max() <= 1 + len(sizes) * count / length
    # No sample comes again before the others of its data set have come, from epoch to epoch as well.
    often = Counter(map(int, seen))
    for number, size in enumerate(sizes):
        times = [often[dataset.starts[number] + i] for i in range(size)]
        assert max(times) - min(times) <= 1


def test_epoch_is_as_long_as_the_data_sets_together_by_default():
    sampler = RatioSampler(Parts(30, 10), ratios=(0.5, 0.5), seed=0)
    assert len(sampler) == 40 and sampler.counts == [20, 20]


@pytest.mark.parametrize('ratios', [(1, 2, 3), (1,), (-1, 2), (0, 0), (float('nan'), 1), 3])
def test_ratios_that_do_not_fit_are_refused(ratios):
    with pytest.raises(ValueError, match='2 numbers, one for each data set'):
        RatioSampler(Parts(3, 4), ratios=ratios, seed=0)


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match='epoch_length=0'):
        RatioSampler(Parts(3, 4), ratios=(1, 1), epoch_length=0, seed=0)
    with pytest.raises(TypeError, match='such as MixedDataset'):
        RatioSampler(Draws(3), ratios=(1,), seed=0)
    with pytest.raises(ValueError, match='the data set is empty'):
        MTLSampler(Draws(0), seed=0)


def test_runner_builds_them_from_a_config():
    init_default_scope('mmdet')
    loader = dict(batch_size=2, num_workers=0, dataset=Parts(6, 2))
    sampler = dict(type='mmyolor_mtl.RatioSampler', ratios=(1, 1), epoch_length=10)
    built = Runner.build_dataloader({**loader, 'sampler': sampler}, seed=11).sampler
    assert isinstance(built, RatioSampler) and built.seed == 11 and built.counts == [5, 5]
    assert DATA_SAMPLERS.get('mmyolor_mtl.MTLSampler') is MTLSampler
