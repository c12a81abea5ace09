"""A tiny registered model that finds the bright rectangle of an image, for tests of what stands around a network."""

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.structures import InstanceData, PixelData
from torch import nn

from mmyolor_mtl.registry import MODELS, TOKENIZERS, TRANSFORMS

META = dict(
    classes=('box', 'ball'),
    palette=[(255, 0, 0), (0, 255, 0)],
    stuff_classes=('floor',),
    stuff_palette=[(0, 0, 255)],
    extra_classes=(),
)


@TRANSFORMS.register_module(force=True)
class FakePack:
    """Packs an image as the project's packer does."""

    def __call__(self, results):
        from mmdet.structures import DetDataSample

        keys = ('img_id', 'img_path', 'ori_shape', 'img_shape')
        sample = DetDataSample(metainfo={key: results[key] for key in keys})
        return {'inputs': torch.from_numpy(results['img'].copy()).permute(2, 0, 1), 'data_samples': sample}


@MODELS.register_module(force=True)
class FakeMTL(BaseModel):
    """Predicts a box around pixels above 200, the same as mask, class 2 elsewhere, and the vocabulary as caption."""

    def __init__(self, tokenizer=None, width=1):
        super().__init__(data_preprocessor=BaseDataPreprocessor())
        self.scale = nn.Parameter(torch.ones(width))
        self.tokenizer = None if tokenizer is None else TOKENIZERS.build(tokenizer)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        assert mode == 'predict'
        return [self._predict(x, sample) for x, sample in zip(inputs, data_samples, strict=True)]

    def _predict(self, pixels, sample):
        mask = pixels.float().mean(0) > 200
        rows, cols = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        box = [float(v) for v in (cols[0], rows[0], cols[-1] + 1, rows[-1] + 1)] if len(rows) else [0.0] * 4
        sample.pred_instances = InstanceData(
            bboxes=torch.tensor([[1.0, 1, 3, 3], box]),
            scores=torch.tensor([0.1, 0.9]) * self.scale[0],
            labels=torch.tensor([1, 0]),
            masks=torch.stack([torch.zeros_like(mask), mask]),
        )
        sample.pred_sem_seg = PixelData(sem_seg=torch.where(mask, 0, 2)[None])
        sample.pred_panoptic_seg = PixelData(sem_seg=torch.where(mask, 1000, 2)[None])
        if self.tokenizer is not None:
            sample.set_field(self.tokenizer.decode(range(4, len(self.tokenizer))), 'pred_caption')
            sample.set_field(0.5, 'pred_caption_score')
        return sample


def fake_config(tokenizer=None):
    """Config dict of the fake model."""
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmyolor_mtl.LoadMTLAnnotations'),
        dict(type='mmyolor_mtl.FakePack'),
    ]
    dataset = dict(type='mmdet.CocoDataset', metainfo=META, data_root='', ann_file='none.json', pipeline=pipeline)
    return dict(
        default_scope='mmdet',
        model=dict(type='mmyolor_mtl.FakeMTL', tokenizer=tokenizer),
        test_dataloader=dict(batch_size=1, dataset=dataset),
    )
