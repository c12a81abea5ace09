"""Samples by image and by caption, in the main process and in workers."""

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmyolor_mtl.datasets import COCOMultiTaskDataset, Visit
from mmyolor_mtl.datasets.sample_index import SampleIndex
from mmyolor_mtl.models.text import WordTokenizer

from . import tiny_coco as tiny

TASKS = [('det',), ('det', 'ins', 'cap'), ('cap',)]


def infos_of(counts):
    return [{'captions': ['text'] * n, 'labelled_tasks': TASKS[n % 3]} for n in counts]


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 5), min_size=1, max_size=12), by_caption=st.booleans(), data=st.data())
def test_every_image_and_caption_has_its_place(counts, by_caption, data):
    index = SampleIndex.of(infos_of(counts), by_caption)
    expected = [
        (image, caption)
        for image, n in enumerate(counts)
        for caption in (range(n) if by_caption and n else [None])
    ]  # fmt: skip
    assert [index.locate(i) for i in range(len(index))] == expected
    for tasks in TASKS:
        partners = index.partners(tasks)
        images = [index.locate(i)[0] for i in partners]
        vision = set(tasks) - {'cap'}
        assert images == [i for i, n in enumerate(counts) if set(TASKS[n % 3]) - {'cap'} == vision]
        assert (np.diff(partners) > 0).all()

    chosen = data.draw(st.lists(st.integers(0, len(index) - 1), min_size=1, max_size=8))
    images, subset = index.subset(chosen)
    assert [(images[subset.locate(i)[0]], subset.locate(i)[1]) for i in range(len(subset))] == [
        expected[i] for i in chosen
    ]
    assert set(images) == {expected[i][0] for i in chosen}


def by_caption(root, **overrides):
    return COCOMultiTaskDataset(**tiny.config(root, index_by='caption', **overrides))


def test_descriptions_can_be_loaded_by_hand(tiny_root):
    """mmdet's ``benchmark.py --task dataset`` runs the transforms itself, on what ``get_data_info`` gives."""
    dataset = COCOMultiTaskDataset(**tiny.config(tiny_root, pipeline=tiny.LOAD))
    subset = dataset.get_subset([1, 2])
    for one in (dataset, subset):
        results = one.get_data_info(0)
        assert results['dataset'] is one
        for transform in one.pipeline.transforms:
            results = transform(results)
        assert 'gt_seg_map' in results


def test_one_sample_a_caption(tiny_root):
    dataset = by_caption(tiny_root)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info['sample_idx'] for info in infos] == list(range(len(dataset)))
    seen = Counter(info['img_id'] for info in infos)
    assert seen == {i: 1 if i == tiny.NO_CAPTION else len(tiny.CAPTIONS) for i in tiny.SIZES}
    drawn = {(info['img_id'], info['caption_index']) for info in infos if 'caption_index' in info}
    assert len(drawn) == len(dataset) - 1
    assert all(info['captions'] == tiny.CAPTIONS for info in infos if 'cap' in info['labelled_tasks'])
    assert len(dataset.partners(('det', 'ins', 'sem'))) == 4  # images, not captions
    with pytest.raises(ValueError, match="index_by='captions' must be one of"):
        COCOMultiTaskDataset(**tiny.config(tiny_root, index_by='captions'))


@pytest.mark.parametrize('wanted', [1, 3])
def test_its_caption_is_the_one_that_is_tokenised(tiny_root, wanted):
    tokenizer = {'type': 'mmyolor_mtl.WordTokenizer', 'vocab_file': str(tiny_root / 'vocab.txt')}
    tokenize = {
        'type': 'mmyolor_mtl.TokenizeCaption', 'tokenizer': tokenizer, 'max_length': 12, 'captions_per_image': wanted
    }  # fmt: skip
    dataset = by_caption(tiny_root, pipeline=[*tiny.LOAD, tokenize])
    encoder = WordTokenizer(vocab_file=str(tiny_root / 'vocab.txt'))
    for i in range(len(tiny.CAPTIONS)):
        rows = dataset[i]['gt_caption_ids']
        sentences = [tuple(row[row != encoder.pad_id].tolist()) for row in rows]
        assert sentences[0] == tuple(encoder.encode(tiny.CAPTIONS[i], 12))
        assert len(set(sentences)) == wanted


def test_a_test_set_is_indexed_by_image(tiny_root):
    dataset = by_caption(tiny_root, test_mode=True)
    assert len(dataset) == len(tiny.SIZES)
    assert all('caption_index' not in dataset.get_data_info(i) for i in range(len(dataset)))


def test_subsets_of_captions(tiny_root):
    dataset = by_caption(tiny_root, serialize_data=True)
    whole = [dataset.get_data_info(i) for i in range(len(dataset))]

    def key(info):
        return info['img_id'], info.get('caption_index')

    chosen = [7, 2, 2, 9]
    subset = dataset.get_subset(chosen)
    assert [key(subset.get_data_info(i)) for i in range(4)] == [key(whole[i]) for i in chosen]
    assert subset.data_bytes.nbytes < dataset.data_bytes.nbytes / 2
    assert key(dataset.get_subset(-1).get_data_info(0)) == key(whole[-1])
    dataset.get_subset_(6)
    assert len(dataset) == 6 and [key(dataset.get_data_info(i)) for i in range(6)] == [key(i) for i in whole[:6]]
    plain = by_caption(tiny_root, serialize_data=False).get_subset(chosen)
    assert [key(plain.get_data_info(i)) for i in range(4)] == [key(whole[i]) for i in chosen]


def test_nothing_but_one_buffer_is_held(tiny_root):
    """Workers share arrays; Python objects of each sample would be copied into every one of them."""
    files = {'stuff_file': 'annotations/stuff_train2017.json', 'data_prefix': {'img': ''}, 'index_by': 'caption'}
    dataset = COCOMultiTaskDataset(**tiny.config(tiny_root, check='none', **files))
    assert dataset.data_list == [] and dataset._files is None
    others = {
        k: v for k, v in vars(dataset).items() if k not in ('data_bytes', 'data_address', 'metainfo', '_metainfo')
    }
    assert len(pickle.dumps(others)) < 20_000
    records = [dataset.get_data_info(i) for i in range(0, len(dataset), 5)]
    assert sum('segments' in info for info in records) >= 5


def test_workers_serve_samples_by_caption(tiny_root):
    dataset = by_caption(tiny_root, pipeline=tiny.train_pipeline(tiny_root / 'vocab.txt'))
    loader = DataLoader(dataset, batch_size=5, num_workers=2, collate_fn=pseudo_collate)
    samples = [sample for batch in loader for sample in batch['data_samples']]
    assert len(samples) == len(dataset)
    assert sum('gt_caption_ids' in sample for sample in samples) == len(dataset) - 1


def test_a_visit_decides_what_is_drawn(tiny_root):
    dataset = COCOMultiTaskDataset(**tiny.config(tiny_root, pipeline=tiny.train_pipeline(tiny_root / 'vocab.txt')))
    first = dataset[Visit(0, seed=5)]
    np.random.seed(1)
    again = dataset[Visit(0, seed=5)]
    other = dataset[Visit(0, seed=6)]
    assert (first['inputs'] == again['inputs']).all() and not (first['inputs'] == other['inputs']).all()
