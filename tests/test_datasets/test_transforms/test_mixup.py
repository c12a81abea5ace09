import numpy as np
import pytest
from mmcv.transforms import Compose

from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.datasets.transforms import MTLMixUp, MTLRandomAffine

from .. import tiny_coco as tiny
from .helpers import check_invariants, load


@pytest.fixture(scope='module')
def dataset(tiny_root):
    return COCOMultiTaskDataset(**tiny.config(tiny_root))


def mixup(**kwargs):
    return MTLMixUp(pre_transform=[*tiny.LOAD, {'type': 'mmyolor_mtl.Letterbox', 'scale': (64, 64)}], **kwargs)


def test_labels_of_both_survive(dataset, monkeypatch):
    letterbox = {'type': 'mmyolor_mtl.Letterbox', 'scale': (64, 64)}
    first = load(dataset, tiny.PLAIN, MTLRandomAffine((64, 64), (0.6, 0.6), 0))
    before = {key: first[key] for key in ('img', 'gt_seg_map', 'gt_bboxes')}
    monkeypatch.setattr(np.random, 'choice', lambda options: options[1])  # PARTS
    monkeypatch.setattr(np.random, 'beta', lambda a, b: 0.25)
    mixed = MTLMixUp(prob=1.0, pre_transform=[*tiny.LOAD, letterbox])(first)
    second = dataset.load_for_mix(1, Compose([*tiny.LOAD, letterbox]))
    assert (mixed['gt_seg_map'] == np.stack([before['gt_seg_map'], second['gt_seg_map']])).all()
    assert (mixed['gt_bboxes'] == np.concatenate([before['gt_bboxes'], second['gt_bboxes']])).all()
    assert len(mixed['gt_masks']) == len(mixed['gt_ignore_flags']) == 5
    blend = 0.25 * before['img'].astype(float) + 0.75 * second['img']
    assert np.abs(mixed['img'] - blend).max() <= 0.51
    assert mixed['img_id'] == tiny.PLAIN and mixed['captions'] == tiny.CAPTIONS
    check_invariants(mixed)


def test_share_follows_the_beta_distribution(dataset):
    shares = []
    original = np.random.beta
    np.random.seed(0)
    for _ in range(500):
        shares.append(original(32, 32))
    transform = mixup(prob=1.0)
    assert transform.beta == 32 and 0.05 < np.std(shares) < 0.07


def test_never_and_wrong(dataset):
    first = load(dataset, tiny.EMPTY)
    assert mixup(prob=0.0)(first)['gt_seg_map'].ndim == 2
    other_size = load(dataset, tiny.PLAIN)
    with pytest.raises(ValueError, match=r'\(80, 96\) and \(64, 64\)'):
        mixup(prob=1.0)(other_size)
    with pytest.raises(ValueError, match='prob=1.5'):
        mixup(prob=1.5)
    with pytest.raises(ValueError, match='beta=0'):
        mixup(prob=0.5, beta=0)
