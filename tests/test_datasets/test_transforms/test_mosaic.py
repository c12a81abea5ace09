import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.datasets.transforms import MTLMosaic, MTLRandomAffine

from .. import tiny_coco as tiny
from .helpers import check_invariants, load

KINDS = (tiny.PLAIN, tiny.EMPTY, tiny.NO_MAP, tiny.NO_MASK)


@pytest.fixture(scope='module')
def dataset(tiny_root):
    return COCOMultiTaskDataset(**tiny.config(tiny_root))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), img_id=st.sampled_from(KINDS))
def test_mosaic_and_affine_keep_everything_together(dataset, seed, img_id):
    np.random.seed(seed)
    results = load(dataset, img_id, MTLMosaic((80, 64)))
    assert results['img'].shape == (128, 160, 3) and results['img_shape'] == (128, 160)
    slivers = (results['gt_bboxes'][:, 2:] - results['gt_bboxes'][:, :2]).min(1, initial=9) < 1
    if not slivers.any():  # nothing is filtered before the affine
        check_invariants(results, edge=3)
    results = MTLRandomAffine((80, 64))(results)
    check_invariants(results, edge=4)


@pytest.mark.parametrize('img_id', [*KINDS, tiny.CAPTION_ONLY])
def test_partners_carry_the_same_labels(dataset, img_id, monkeypatch):
    loaded = []
    original = dataset.load_for_mix

    def spy(index, transforms):
        results = original(index, transforms)
        loaded.append(results['labelled_tasks'])
        return results

    alone = load(dataset, img_id)
    monkeypatch.setattr(dataset, 'load_for_mix', spy)
    results = MTLMosaic((64, 64))(alone)
    vision = set(results['labelled_tasks']) - {'cap'}
    assert len(loaded) == 3 and all(set(tasks) - {'cap'} == vision for tasks in loaded)
    assert ('gt_seg_map' in results) == ('sem' in vision) and ('gt_masks' in results) == ('ins' in vision)
    assert results['img_id'] == img_id


def test_tiles_meet_at_the_centre_and_the_rest_is_grey(dataset, monkeypatch):
    monkeypatch.setattr(np.random, 'uniform', lambda *_: 0.75)
    monkeypatch.setattr(np.random, 'choice', lambda options: options[0])
    results = load(dataset, tiny.PLAIN, MTLMosaic((48, 48)))  # each tile is 48 x 40 px, the centre at (36, 36)
    image, semantic = results['img'], results['gt_seg_map']
    assert (image[36 + 40 :] == 114).all() and (semantic[36 + 40 :] == 255).all()
    assert (image[:, 36 + 48 :] == 114).all() and (image[35:37, :84] != 114).any(2).mean() > 0.9
    # All four are the same picture: the lower right one is whole, the upper left one shows its last rows and columns.
    assert (image[:36, :36] == image[36 + 4 : 76, 36 + 12 : 84]).all()
    whole = results['gt_bboxes'][-2:]
    expected = load(dataset, tiny.PLAIN)['gt_bboxes'] * 0.5 + 36
    assert np.allclose(whole, expected, atol=1e-3)


def test_without_mosaic_the_picture_is_letterboxed(dataset):
    results = load(dataset, tiny.PLAIN, MTLMosaic((64, 64), prob=0.0))
    assert results['img'].shape == (64, 64, 3) and results['pad_param'] == (5, 6, 0, 0)
    check_invariants(results)


def test_mosaic_needs_a_dataset(dataset):
    results = load(dataset, tiny.PLAIN)
    del results['dataset']
    with pytest.raises(ValueError, match='MTLMosaic draws other images'):
        MTLMosaic((64, 64))(results)
    with pytest.raises(ValueError, match='prob=-1'):
        MTLMosaic((64, 64), prob=-1)
