import numpy as np
import pytest

from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.datasets.transforms import CaptionView, MTLMosaic, TokenizeCaption

from .. import tiny_coco as tiny
from .helpers import load


@pytest.fixture(scope='module')
def dataset(tiny_root):
    return COCOMultiTaskDataset(**tiny.config(tiny_root))


def test_view_is_whole_centred_and_padded(dataset):
    results = load(dataset, tiny.PLAIN, CaptionView(scale=(64, 48)))  # 96 x 80 px -> 57 x 48 px
    view = results['caption_view']
    assert view.shape == (48, 64, 3) and view.dtype == np.uint8
    assert results['caption_region'] == (3, 0, 60, 48)
    assert (view[:, :3] == 114).all() and (view[:, 60:] == 114).all() and (view[:, 3:60] != 114).any((0, 2)).all()
    assert results['img'].shape == (80, 96, 3)


def test_small_pictures_are_enlarged_and_equal_ones_copied(dataset):
    results = load(dataset, tiny.EMPTY, CaptionView(scale=(128, 128)))
    assert results['caption_region'] == (0, 0, 128, 128)
    same = load(dataset, tiny.EMPTY, CaptionView(scale=(64, 64)))
    assert (same['caption_view'] == same['img']).all() and same['caption_view'] is not same['img']


def test_a_view_of_a_mosaic_that_is_not_drawn_yet(dataset):
    results = load(dataset, tiny.PLAIN, MTLMosaic((80, 64), defer=True), CaptionView(scale=(160, 128)))
    assert (results['caption_view'] == results['img']).all() and len(np.unique(results['img'])) > 2


def test_no_caption_no_view(dataset, tiny_root):
    tokenize = TokenizeCaption({'type': 'mmyolor_mtl.WordTokenizer', 'vocab_file': str(tiny_root / 'vocab.txt')}, 10)
    results = load(dataset, tiny.NO_CAPTION, CaptionView(scale=(64, 64)), tokenize)
    assert not {'caption_view', 'caption_region', 'gt_caption_ids'} & set(results)


def test_every_caption_is_drawn_and_cut_at_the_limit(dataset, tiny_root):
    tokenize = TokenizeCaption({'type': 'mmyolor_mtl.WordTokenizer', 'vocab_file': str(tiny_root / 'vocab.txt')}, 6)
    seen = set()
    for _ in range(60):
        ids = load(dataset, tiny.PLAIN, tokenize)['gt_caption_ids']
        assert ids.dtype == np.int64 and ids.shape[0] == 1 and ids.shape[1] <= 6
        assert ids[0, 0] == tokenize.tokenizer.bos_id and ids[0, -1] == tokenize.tokenizer.eos_id
        seen.add(tuple(ids[0].tolist()))
    assert seen == {tuple(tokenize.tokenizer.encode(text, 6)) for text in tiny.CAPTIONS}


def test_several_captions_differ_and_are_padded(dataset, tiny_root):
    tokenizer = {'type': 'mmyolor_mtl.WordTokenizer', 'vocab_file': str(tiny_root / 'vocab.txt')}
    for wanted in (1, len(tiny.CAPTIONS), 99):
        tokenize = TokenizeCaption(tokenizer, 12, captions_per_image=wanted)
        ids = load(dataset, tiny.PLAIN, tokenize)['gt_caption_ids']
        assert ids.shape[0] == min(wanted, len(tiny.CAPTIONS))
        rows = {tuple(row[row != tokenize.tokenizer.pad_id].tolist()) for row in ids}
        assert rows <= {tuple(tokenize.tokenizer.encode(text, 12)) for text in tiny.CAPTIONS}
        assert len(rows) == ids.shape[0]
    with pytest.raises(ValueError, match='captions_per_image=0'):
        TokenizeCaption(tokenizer, 12, captions_per_image=0)


def test_too_short_a_limit(tiny_root):
    with pytest.raises(ValueError, match='max_length=2'):
        TokenizeCaption({'type': 'mmyolor_mtl.WordTokenizer', 'vocab_file': str(tiny_root / 'vocab.txt')}, 2)
