"""Our backbones and necks in other projects' networks, other projects' backbones in ours: by ``type`` alone."""

from pathlib import Path

import mmdet
import pytest
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModule
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import Registry, init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmseg.registry import MODELS as MMSEG_MODELS
from mmseg.structures import SegDataSample
from torch import nn

from ..test_docs.guides import blocks
from ..test_models.helpers import labelled_sample

SIZE = 64
NUM_CLASSES = 4
OURS = dict(mean=[0.0] * 3, std=[255.0] * 3, bgr_to_rgb=True)
ELAN = dict(type='mmyolor_mtl.ELANBackbone', widen_factor=1 / 16, deepen_factor=0.5)
GELAN = dict(type='mmyolor_mtl.GELANBackbone', widen_factor=1 / 16)
ELAN_NECK = dict(type='mmyolor_mtl.ELANPAFPN', in_channels=(32, 64, 64), widen_factor=1 / 16, deepen_factor=0.5)
GELAN_NECK = dict(type='mmyolor_mtl.GELANPAFPN', in_channels=(32, 32, 32), widen_factor=1 / 16)
# Attention wants 128 channels.
WIDE_GELAN = {**GELAN, 'widen_factor': 1 / 4}
WIDE_GELAN_NECK = {**GELAN_NECK, 'in_channels': (128, 128, 128), 'widen_factor': 1 / 4, 'attention': True}
WIDTH = 32


def mapper(in_channels, num_outs=3):
    """Bring the levels of a neck, each of its own width, to the one width that mmdet's dense heads want."""
    return dict(type='mmdet.ChannelMapper', in_channels=list(in_channels), out_channels=WIDTH, num_outs=num_outs)


# Trunk of another project's network, the strides of its levels, what makes their widths equal.
TRUNKS = {
    'elan': (ELAN, {**ELAN_NECK, 'out_channels': (512, 512, 512)}, 3),  # a sixteenth of it
    'elan-mapped': (ELAN, [ELAN_NECK, mapper((16, 32, 64), 5)], 5),
    'gelan': (GELAN, [GELAN_NECK, mapper((16, 32, 32), 5)], 5),
    'gelan-attention': (WIDE_GELAN, [{**WIDE_GELAN_NECK, 'isolate_half': True}, mapper((64, 128, 128, 128), 4)], 4),
    'elan-fpn': (ELAN, dict(type='FPN', in_channels=[32, 64, 64], out_channels=WIDTH, num_outs=5), 5),
}
STRIDES = {3: [8, 16, 32], 4: [8, 16, 32, 32], 5: [8, 16, 32, 64, 128]}


@pytest.fixture(autouse=True)
def _default_scope():
    """As in a runner of mmdet."""
    init_default_scope('mmdet')


def base_config(name):
    """Model of a config that mmdet ships, without the weights that it would download."""
    model = Config.fromfile(Path(mmdet.__file__).parent / '.mim/configs' / name).model
    model.backbone.pop('init_cfg', None)
    model.data_preprocessor.update(OURS)
    return model


def dense_detector(name, trunk):
    backbone, neck, levels = TRUNKS[trunk]
    model = base_config(name)
    model.backbone, model.neck = backbone, neck
    head = model.bbox_head
    head.update(num_classes=NUM_CLASSES, in_channels=WIDTH, feat_channels=WIDTH, stacked_convs=1)
    strides = STRIDES[levels]
    if 'anchor_generator' in head:
        head.anchor_generator.strides = strides
    else:
        bounds = [-1, *(8 * stride for stride in strides[:-1]), 1e8]
        head.update(strides=strides, regress_ranges=tuple(zip(bounds[:-1], bounds[1:], strict=True)))
    model.test_cfg.score_thr = 0.0
    return model


def mask_rcnn(trunk):
    backbone, neck, levels = TRUNKS[trunk]
    model = base_config('_base_/models/mask-rcnn_r50_fpn.py')
    model.backbone, model.neck = backbone, neck
    model.rpn_head.update(in_channels=WIDTH, feat_channels=WIDTH)
    model.rpn_head.anchor_generator.strides = STRIDES[levels]
    for extractor in (model.roi_head.bbox_roi_extractor, model.roi_head.mask_roi_extractor):
        extractor.update(out_channels=WIDTH, featmap_strides=[8, 16, 32])
    model.roi_head.bbox_head.update(in_channels=WIDTH, fc_out_channels=WIDTH, num_classes=NUM_CLASSES)
    model.roi_head.mask_head.update(in_channels=WIDTH, conv_out_channels=WIDTH, num_convs=1, num_classes=NUM_CLASSES)
    model.test_cfg.rcnn.score_thr = 0.0
    return model


def detection_batch():
    """Two noisy pictures with an object each, as mmdet's pipelines give them."""
    samples = []
    for number in range(2):
        shape = dict(ori_shape=(SIZE, SIZE), img_shape=(SIZE, SIZE), scale_factor=(1.0, 1.0), img_id=number)
        sample = DetDataSample(metainfo=shape)
        masks = torch.zeros(1, SIZE, SIZE, dtype=torch.uint8)
        masks[:, 8:48, 8:48] = 1
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[8.0, 8, 48, 48]]),
            labels=torch.tensor([number]),
            masks=BitmapMasks(masks.numpy(), SIZE, SIZE),
        )
        samples.append(sample)
    return dict(
        inputs=[torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8) for _ in samples], data_samples=samples
    )


def train_and_predict(model, batch):
    """One step of an optimizer, in which the whole trunk has a finite gradient; then predictions."""
    model.init_weights()
    model.train()
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=1e-3)
    loss, log = model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))
    assert torch.isfinite(loss) and loss > 0, log
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name.startswith(('backbone.', 'neck.')):
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    optimizer.step()
    model.eval()
    return model.test_step(batch)


class TestOurTrunkElsewhere:
    @pytest.mark.parametrize('trunk', TRUNKS)
    @pytest.mark.parametrize(
        'name', ['_base_/models/retinanet_r50_fpn.py', 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py']
    )
    def test_dense_detectors(self, name, trunk):
        found = train_and_predict(MMDET_MODELS.build(dense_detector(name, trunk)), detection_batch())
        for sample in found:
            boxes = sample.pred_instances.bboxes
            assert len(boxes) and (boxes >= 0).all() and (boxes <= SIZE).all()

    def test_the_guide_builds(self, repo_root):
        trunk, detector = blocks(repo_root / 'docs/advanced_guides/other_projects.md', 'python')
        theirs = Config(dict(model=base_config('_base_/models/retinanet_r50_fpn.py')))
        theirs.merge_from_dict(Config.fromstring(trunk, '.py')._cfg_dict.to_dict())
        with torch.device('meta'):
            model = MMDET_MODELS.build(theirs.model)
            assert len(model.neck(model.backbone(torch.zeros(1, 3, SIZE, SIZE)))) == 5
            ours = MMDET_MODELS.build(Config.fromstring(detector, '.py').model)
            feats = ours.extract_feat(torch.zeros(1, 3, SIZE, SIZE))
            for task in ('det', 'sem'):
                ours.heads[task](feats['neck'])
            for feat, projection in zip(feats['backbone'], ours.heads['cap'].projections, strict=True):
                projection(feat)

    @pytest.mark.parametrize('trunk', ['elan', 'elan-mapped', 'gelan'])
    def test_mask_rcnn(self, trunk):
        found = train_and_predict(MMDET_MODELS.build(mask_rcnn(trunk)), detection_batch())
        assert all(len(sample.pred_instances) for sample in found)
        assert all(sample.pred_instances.masks.shape[1:] == (SIZE, SIZE) for sample in found)

    @pytest.mark.parametrize(
        'backbone, neck, channels',
        [
            (ELAN, ELAN_NECK, (16, 32, 64)),
            (GELAN, GELAN_NECK, (16, 32, 32)),
            (WIDE_GELAN, WIDE_GELAN_NECK, (64, 128, 128, 128)),
            ({**ELAN, 'out_indices': (0, 1, 2, 3, 4)}, None, (8, 16, 32, 64, 64)),
            ({**GELAN, 'out_indices': (1, 2, 3, 4)}, None, (16, 32, 32, 32)),
        ],
    )
    def test_encoder_decoder(self, backbone, neck, channels):
        init_default_scope('mmseg')
        head = dict(
            type='SegformerHead',  # reads all levels
            in_channels=list(channels),
            in_index=list(range(len(channels))),
            channels=WIDTH,
            num_classes=NUM_CLASSES,
            norm_cfg=dict(type='BN'),
            align_corners=False,
        )
        config = dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', size=(SIZE, SIZE), **OURS),
            backbone=backbone,
            decode_head=head,
            test_cfg=dict(mode='whole'),
            **(dict(neck=neck) if neck else {}),
        )
        model = MMSEG_MODELS.build(ConfigDict(config))
        batch = dict(inputs=[torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8) for _ in range(2)])
        batch['data_samples'] = []
        for _ in range(2):
            sample = SegDataSample(metainfo=dict(ori_shape=(SIZE, SIZE), img_shape=(SIZE, SIZE)))
            sample.gt_sem_seg = PixelData(data=torch.randint(0, NUM_CLASSES, (1, SIZE, SIZE)))
            batch['data_samples'].append(sample)
        found = train_and_predict(model, batch)
        assert all(sample.pred_sem_seg.data.shape == (1, SIZE, SIZE) for sample in found)


THEIRS = Registry('model', parent=MMENGINE_MODELS, scope='another_project')


@THEIRS.register_module()
class Tower(BaseModule):
    """A backbone as mmpretrain has them: a tuple of the stages in ``out_indices``, strides 4 to 32."""

    def __init__(self, channels=(8, 16, 24, 32), out_indices=(3,), frozen_stages=-1, init_cfg=None):
        super().__init__(init_cfg)
        self.out_indices = out_indices
        self.stem = nn.Conv2d(3, channels[0], 2, stride=2)
        widths = (channels[0], *channels)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.GELU())
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        for stage in [self.stem, *self.stages][: frozen_stages + 1]:
            stage.requires_grad_(False)

    def forward(self, x):
        x = self.stem(x)
        outputs = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.out_indices:
                outputs.append(x)
        return tuple(outputs)


FPN_32 = dict(type='FPN', out_channels=WIDTH, num_outs=3)
RESNET = dict(type='ResNet', depth=18, base_channels=16, out_indices=(1, 2, 3), frozen_stages=1, norm_eval=True)
BACKBONES = {
    'mmdet': (RESNET, {**FPN_32, 'in_channels': [32, 64, 128]}, (32, 64, 128)),
    'mmpretrain-style': (
        dict(type='another_project.Tower', out_indices=(1, 2, 3)),
        {**FPN_32, 'in_channels': [16, 24, 32]},
        (16, 24, 32),
    ),
    'frozen': (
        dict(type='another_project.Tower', out_indices=(1, 2, 3), frozen_stages=4),
        dict(type='mmyolor_mtl.ELANPAFPN', in_channels=(16, 24, 32), out_channels=(512,) * 3, widen_factor=1 / 16),
        (16, 24, 32),
    ),
}


def our_detector(backbone, neck, caption_channels, tasks, **preprocessor):
    heads = dict(
        det=dict(type='mmyolor_mtl.YOLORDetectionHead', num_classes=NUM_CLASSES, in_channels=(WIDTH,) * 3),
        ins=dict(type='mmyolor_mtl.YOLORMaskHead', in_channels=(WIDTH,) * 3, num_prototypes=8, proto_channels=16),
        sem=dict(type='mmyolor_mtl.YOLORSemanticHead', num_classes=6, in_channels=(WIDTH,) * 3),
        cap=dict(
            type='mmyolor_mtl.CaptionHead',
            in_channels=caption_channels,
            embed_dims=32,
            num_layers=1,
            num_heads=4,
            feedforward_channels=32,
            mlp_channels=32,
            max_length=12,
            vocab_size=20,
        ),
    )
    return dict(
        type='mmyolor_mtl.YOLORMTL',
        data_preprocessor=dict(type='mmyolor_mtl.YOLORMTLDataPreprocessor', **preprocessor),
        backbone=backbone,
        neck=neck,
        heads={task: heads[task] for task in tasks},
    )


class TestOtherTrunksHere:
    @pytest.mark.parametrize('tasks', [('det', 'ins', 'sem', 'cap'), ('sem', 'cap')], ids='-'.join)
    @pytest.mark.parametrize('trunk', BACKBONES)
    def test_they_train_and_predict(self, trunk, tasks):
        model = MMDET_MODELS.build(our_detector(*BACKBONES[trunk], tasks))
        model.init_weights()
        model.train()
        optimizer = OptimWrapper(torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=1e-3))
        before = {name: value.clone() for name, value in model.state_dict().items()}
        losses = model.train_step(self.batch(), optimizer)
        assert all(torch.isfinite(value).all() for value in losses.values())
        moved = {n.split('.')[0] for n, p in model.named_parameters() if not torch.equal(p, before[n])}
        assert moved == {'neck', 'heads'} | ({'backbone'} if trunk != 'frozen' else set())
        model.eval()
        found = model.test_step(self.batch())
        assert all(sample.pred_sem_seg.sem_seg.shape == (1, SIZE, SIZE) for sample in found)
        assert all(sample.pred_caption_ids.ndim == 1 for sample in found)

    def test_detection_learns_from_mmdets_samples(self):
        model = MMDET_MODELS.build(our_detector(*BACKBONES['mmdet'], ('det',)))
        batch = detection_batch()
        for sample in batch['data_samples']:
            sample.gt_instances.bboxes = HorizontalBoxes(sample.gt_instances.bboxes)
        (first, *_) = train_and_predict(model, batch)
        assert first.pred_instances.bboxes.shape[1] == 4

    def test_deploy_form_predicts_the_same(self):
        model = MMDET_MODELS.build(our_detector(*BACKBONES['mmdet'], ('det', 'sem', 'cap'))).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1), module.running_var.uniform_(0.5, 1.5)
        pixels = torch.rand(1, 3, SIZE, SIZE)
        before = model(pixels)
        model.switch_to_deploy()
        after = model(pixels)
        for name, value in before.items():
            torch.testing.assert_close(after[name], value, rtol=1e-4, atol=1e-5)

    def test_their_normalisation_reaches_both_views(self):
        mean, std = [102.9801, 115.9465, 122.7717], [1.0, 1.0, 1.0]  # as Caffe's backbones want it: BGR, not scaled
        config = our_detector(*BACKBONES['mmdet'], ('det', 'cap'), mean=mean, std=std, bgr_to_rgb=False)
        model = MMDET_MODELS.build(config)
        batch = self.batch()
        pixels = batch['inputs'][0]
        batch['inputs'][0] = pixels[:, :40]  # the rest is padded
        views = [sample.caption_view.clone() for sample in batch['data_samples']]
        out = model.data_preprocessor(batch, True)
        offset = torch.tensor(mean)[:, None, None]
        torch.testing.assert_close(out['inputs'][0, :, :40], pixels[:, :40] - offset)
        torch.testing.assert_close(out['caption_inputs'][1], views[1] - offset)
        torch.testing.assert_close(out['inputs'][0, :, 40:].mean(), torch.tensor(114 - sum(mean) / 3))

    @staticmethod
    def batch():
        samples = [labelled_sample(seed=0), labelled_sample(boxes=((4, 4, 60, 60),), labels=(2,), seed=1)]
        return dict(inputs=[sample.caption_view.clone() for sample in samples], data_samples=samples)
