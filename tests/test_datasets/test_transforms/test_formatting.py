import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.structures.mask import PolygonMasks
from mmdet.visualization import DetLocalVisualizer
from mmengine.dataset import pseudo_collate

from mmyolor_mtl.datasets import COCOMultiTaskDataset
from mmyolor_mtl.datasets.transforms import CaptionView, Letterbox, PackMTLInputs

from .. import tiny_coco as tiny
from .helpers import load


@pytest.fixture(scope='module')
def dataset(tiny_root):
    return COCOMultiTaskDataset(**tiny.config(tiny_root))


def test_training_sample(dataset):
    results = load(dataset, tiny.PARTS, CaptionView((64, 64)), Letterbox((64, 96)))
    packed = PackMTLInputs()(results)
    assert packed.keys() == {'inputs', 'data_samples'}
    sample = packed['data_samples']
    assert packed['inputs'].shape == (3, 96, 64) and packed['inputs'].dtype == torch.uint8
    assert (packed['inputs'].permute(1, 2, 0).numpy() == results['img']).all()
    assert sample.gt_instances.bboxes.dtype == torch.float32 and sample.gt_instances.labels.tolist() == [0, 16]
    assert isinstance(sample.gt_instances.masks, PolygonMasks) and len(sample.gt_instances.masks) == 2
    assert sample.ignored_instances.labels.tolist() == [0] and len(sample.ignored_instances.masks) == 1
    assert sample.gt_mask_targets.shape == (2, 24, 16) and sample.gt_mask_targets.dtype == torch.uint8
    covered = sample.gt_instances.masks.to_bitmap().masks.reshape(2, 24, 4, 16, 4).mean((2, 4))
    drawn = sample.gt_mask_targets.numpy() == 1
    assert drawn[covered == 1].all() and not drawn[covered == 0].any() and np.abs(drawn - covered).max() <= 0.75
    assert (sample.gt_sem_target == sample.gt_sem_seg.sem_seg[:, 2::4, 2::4]).all()
    assert sample.gt_sem_seg.sem_seg.shape == (1, 96, 64) and sample.gt_sem_seg.metainfo['ignore_index'] == 255
    assert sample.caption_view.shape == (3, 64, 64) and sample.caption_region == (8, 0, 56, 64)
    assert sample.gt_captions == tiny.CAPTIONS
    assert sample.labelled_tasks == ('det', 'ins', 'sem', 'cap')
    assert sample.img_shape == (96, 64) and sample.ori_shape == (96, 72) and sample.flip is False
    assert 'dataset' not in sample


def test_evaluation_sample_keeps_labels_in_the_original_image(dataset):
    packed = dataset.load_for_mix(0, Compose(tiny.TEST_PIPELINE))
    sample = packed['data_samples']
    h, w = tiny.SIZES[tiny.PLAIN]
    assert packed['inputs'].shape == (3, 64, 64)
    assert 'gt_mask_targets' not in sample and 'gt_sem_target' not in sample
    assert sample.gt_sem_seg.sem_seg.shape == (1, h, w)
    assert sample.ori_shape == (h, w) and sample.pad_param == (5, 6, 0, 0) and sample.scale_factor == (64 / w, 53 / h)


@pytest.mark.parametrize('img_id', tiny.SIZES)
def test_only_labelled_tasks_have_targets(dataset, img_id):
    sample = PackMTLInputs()(load(dataset, img_id, Letterbox((64, 64))))['data_samples']
    tasks = sample.labelled_tasks
    assert ('gt_mask_targets' in sample) == ('ins' in tasks)
    assert ('gt_sem_target' in sample) == ('sem' in tasks)
    assert ('gt_captions' in sample) == ('cap' in tasks)
    assert sample.gt_instances.bboxes.shape[1] == 4  # MMDetection's tools look for it in any case
    if img_id == tiny.EMPTY:
        assert sample.gt_mask_targets.shape == (0, 16, 16) and len(sample.gt_instances) == 0


def test_stride_and_meta_keys(dataset):
    results = load(dataset, tiny.PLAIN, Letterbox((60, 60)))
    sample = PackMTLInputs(mask_stride=2, meta_keys=('img_id',))(dict(results))['data_samples']
    assert sample.gt_mask_targets.shape == (2, 30, 30) and set(sample.metainfo_keys()) == {'img_id'}
    sample = PackMTLInputs(mask_stride=2, sem_stride=1)(dict(results))['data_samples']
    assert sample.gt_mask_targets.shape == (2, 30, 30)
    assert torch.equal(sample.gt_sem_target, sample.gt_sem_seg.sem_seg)
    with pytest.raises(ValueError, match='60 x 60 px is no multiple of sem_stride=8'):
        PackMTLInputs(sem_stride=8)(results)
    with pytest.raises(ValueError, match='60 x 60 px is no multiple of mask_stride=8'):
        PackMTLInputs(mask_stride=8)(results)
    with pytest.raises(ValueError, match='mask_stride=0'):
        PackMTLInputs(mask_stride=0)


def test_mmdet_can_collate_move_and_draw_it(dataset):
    packed = PackMTLInputs()(load(dataset, tiny.PARTS, CaptionView((64, 64)), Letterbox((64, 64))))
    batch = pseudo_collate([packed, packed])
    assert batch['data_samples'][1].caption_view.shape == (3, 64, 64)
    sample = packed['data_samples'].cpu().clone()
    assert sample.to_dict()['gt_captions'] == tiny.CAPTIONS
    # As MMDetection's browse_dataset.py does it; semantic maps with stuff need our own visualizer.
    sample.gt_instances.masks = sample.gt_instances.masks.to_ndarray().astype(bool)
    del sample.gt_sem_seg
    visualizer = DetLocalVisualizer()
    visualizer.dataset_meta = dataset.metainfo
    image = packed['inputs'].permute(1, 2, 0).numpy()[..., ::-1]
    visualizer.add_datasample('sample', image, sample, draw_pred=False, show=False)
    assert (visualizer.get_image() != image).any()
