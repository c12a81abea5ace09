"""Our transforms in mmdet's pipelines, mmdet's transforms in ours: pixels and labels stay together."""

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.datasets import CocoDataset
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.registry import init_default_scope

from mmyolor_mtl.datasets import ShapesDataset
from mmyolor_mtl.datasets.shapes import SHAPES_METAINFO, write_shapes
from mmyolor_mtl.models.heads.detection_head import to_image_space
from mmyolor_mtl.postprocess import Placement

SIZE = 64
IMAGE = dict(type='LoadImageFromFile', backend_args=None)
MOVING = [
    dict(type='mmyolor_mtl.Letterbox', scale=(96, 80)),
    dict(
        type='mmyolor_mtl.MTLRandomAffine', img_scale=(96, 64), scaling_ratio_range=(0.7, 1.3), max_rotate_degree=10.0
    ),
    dict(type='mmyolor_mtl.MTLRandomFlip', prob=1.0),
]
COLOURS = [dict(type='mmyolor_mtl.HSVJitter'), dict(type='mmyolor_mtl.RandomFilters', prob=0.5)]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp('foreign') / 'shapes'
    write_shapes(root, 6, 2, size=SIZE, seed=5)
    return root


@pytest.fixture(autouse=True)
def _default_scope():
    init_default_scope('mmdet')


def mmdet_dataset(root, pipeline, **annotations):
    """mmdet's own data set and loading, with the semantic map of COCO-Stuff's PNGs."""
    load = dict(type='LoadAnnotations', with_bbox=True, with_mask=True, with_seg=True, **annotations)
    return CocoDataset(
        data_root=str(root),
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
        seg_map_suffix='.png',
        metainfo={'classes': SHAPES_METAINFO['classes']},
        pipeline=[IMAGE, load, *pipeline],
    )


def our_dataset(root, pipeline):
    return ShapesDataset(
        data_root=str(root),
        ann_file='annotations/instances_train2017.json',
        caption_file='annotations/captions_train2017.json',
        data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
        pipeline=pipeline,
    )


def agreement(masks, labels, semantic):
    """Share of the pixels of masks that the semantic map says the class of, where one mask alone claims them."""
    alone = masks.sum(0) == 1
    own = np.concatenate([semantic[(mask > 0) & alone] == label for mask, label in zip(masks, labels, strict=True)])
    return own.mean()


class TestOursInTheirPipelines:
    @pytest.mark.parametrize('poly2mask', [True, False], ids=['bitmaps', 'polygons'])
    @pytest.mark.parametrize('box_type', ['hbox', None], ids=['box class', 'array'])
    def test_labels_move_with_the_pixels(self, scenes, poly2mask, box_type):
        pipeline = [*MOVING, *COLOURS, dict(type='PackDetInputs')]
        dataset = mmdet_dataset(scenes, pipeline, poly2mask=poly2mask, box_type=box_type)
        shares = []
        for packed in dataset:
            sample = packed['data_samples']
            assert packed['inputs'].shape == (3, 64, 96) and sample.gt_sem_seg.sem_seg.shape == (1, 64, 96)
            boxes = sample.gt_instances.bboxes
            assert isinstance(boxes, HorizontalBoxes) == (box_type == 'hbox')
            masks = sample.gt_instances.masks
            assert isinstance(masks, PolygonMasks) and (masks.height, masks.width) == (64, 96)
            if len(boxes):
                corners = boxes.tensor.numpy() if box_type else boxes.numpy()
                drawn = masks.get_bboxes('hbox').tensor.numpy()
                assert np.abs(corners - drawn).max() <= 1.5
                labels = sample.gt_instances.labels.numpy()
                shares.append(agreement(masks.to_ndarray(), labels, sample.gt_sem_seg.sem_seg[0].numpy()))
        assert len(shares) >= 5 and np.mean(shares) > 0.85

    def test_objects_are_pasted(self, scenes):
        pipeline = [dict(type='mmyolor_mtl.MTLCopyPaste', prob=1.0, max_hidden=1.0)]
        before, after = mmdet_dataset(scenes, [])[0], mmdet_dataset(scenes, pipeline)[0]
        assert len(after['gt_bboxes']) > len(before['gt_bboxes']) and isinstance(after['gt_bboxes'], HorizontalBoxes)
        assert len(after['gt_masks']) == len(after['gt_bboxes']) and after['gt_seg_map'].ndim == 3

    def test_bitmaps_stay_what_they_were(self, scenes):
        before = mmdet_dataset(scenes, [])
        after = mmdet_dataset(scenes, [dict(type='mmyolor_mtl.MTLRandomFlip', prob=1.0)])
        for one, other in zip(before, after, strict=True):
            assert isinstance(one['gt_masks'], BitmapMasks)
            assert (one['gt_masks'].masks[:, :, ::-1] == other['gt_masks'].to_ndarray()).all()

    def test_without_labels_only_pixels_move(self):
        image = np.random.randint(0, 256, (50, 40, 3), dtype=np.uint8)
        moved = Compose([*MOVING, *COLOURS])(dict(img=image, img_shape=(50, 40), ori_shape=(50, 40)))
        assert moved['img'].shape == (64, 96, 3) and 'gt_bboxes' not in moved

    def test_mixing_needs_our_data_set_and_says_so(self, scenes):
        mosaic = dict(type='mmyolor_mtl.MTLMosaic', img_scale=(SIZE, SIZE))
        with pytest.raises(ValueError, match='must come from COCOMultiTaskDataset'):
            mmdet_dataset(scenes, [mosaic])[0]


LOAD = [IMAGE, dict(type='mmyolor_mtl.LoadMTLAnnotations')]
PACK = dict(type='mmyolor_mtl.PackMTLInputs')
THEIRS = {
    'resize': [dict(type='Resize', scale=(96, 128), keep_ratio=False)],
    'resize-pad': [
        dict(type='mmdet.Resize', scale=(80, 80), keep_ratio=True),
        dict(type='mmdet.Pad', size=(96, 96), pad_val=dict(img=(114, 114, 114), masks=0, seg=255)),
    ],
    'flip': [dict(type='mmdet.RandomFlip', prob=1.0, direction='vertical')],
    'crop': [dict(type='mmdet.RandomCrop', crop_size=(48, 48))],
    'after-mosaic': [
        dict(type='mmyolor_mtl.MTLMosaic', img_scale=(SIZE, SIZE)),
        dict(type='mmyolor_mtl.MTLRandomAffine', img_scale=(SIZE, SIZE), scaling_ratio_range=(0.5, 1.0)),
        dict(type='mmdet.RandomFlip', prob=1.0),
        dict(type='mmdet.PhotoMetricDistortion'),
        dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(2, 2), keep_empty=False),
    ],
}


class TestTheirsInOurPipelines:
    @pytest.mark.parametrize('name', THEIRS)
    def test_targets_agree(self, scenes, name):
        shares = []
        for packed in our_dataset(scenes, [*LOAD, *THEIRS[name], PACK]):
            sample = packed['data_samples']
            assert sample.gt_mask_targets.shape[1:] == sample.gt_sem_target.shape[1:]
            assert sample.gt_mask_targets.shape[1] * 4 == packed['inputs'].shape[1]
            assert len(sample.gt_mask_targets) == len(sample.gt_instances)
            if len(sample.gt_instances):
                masks, labels = sample.gt_mask_targets.numpy(), sample.gt_instances.labels.numpy()
                shares.append(agreement(masks, labels, sample.gt_sem_target[0].numpy()))
        assert len(shares) >= 5 and np.mean(shares) > 0.75  # cells of 4 px, objects of a dozen

    def test_labels_behind_their_resize_stay_in_the_picture(self, scenes):
        pipeline = [IMAGE, dict(type='mmdet.Resize', scale=(96, 96)), LOAD[1], PACK]
        packed, plain = our_dataset(scenes, pipeline)[0], our_dataset(scenes, [*LOAD, PACK])[0]
        sample = packed['data_samples']
        assert packed['inputs'].shape == (3, 96, 96) and 'gt_mask_targets' not in sample
        assert (sample.gt_instances.bboxes == plain['data_samples'].gt_instances.bboxes).all()
        assert sample.gt_sem_seg.sem_seg.shape == (1, SIZE, SIZE)

    @pytest.mark.parametrize('pack', ['mmyolor_mtl.PackMTLInputs', 'mmdet.PackDetInputs'])
    def test_predictions_find_back_from_their_padding(self, scenes, pack):
        """mmdet's ``Pad`` says nothing of where the picture lies; its ``Resize`` does."""
        resize = dict(type='mmdet.Resize', scale=(96, 48), keep_ratio=True)
        pad = dict(type='mmdet.Pad', size=(96, 96), pad_val=dict(img=(114, 114, 114)))
        sample = our_dataset(scenes, [IMAGE, resize, pad, dict(type=pack)])[0]['data_samples']
        assert sample.img_shape == (96, 96)
        assert Placement.from_meta(sample.metainfo) == Placement((SIZE, SIZE), (0, 0), (48, 48))
        box = to_image_space(torch.tensor([[12.0, 24, 36, 48]]), sample)
        assert box.tolist() == [[16, 32, 48, 64]]
