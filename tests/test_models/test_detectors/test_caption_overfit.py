"""A caption decoder and its trunk learn a few pictures by heart: each gets one of its own sentences back."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope, init_default_scope

from mmyolor_mtl.datasets import COCOMultiTaskDataset, ShapesDataset
from mmyolor_mtl.datasets.shapes import write_shapes
from mmyolor_mtl.evaluation.functional import corpus_bleu, ptb_tokenize
from mmyolor_mtl.models.text import WordTokenizer
from mmyolor_mtl.registry import MODELS


@pytest.fixture(autouse=True)
def _mmdet_scope():
    before = DefaultScope.get_current_instance()
    init_default_scope('mmdet')
    yield
    if before is not None:
        init_default_scope(before.scope_name)


def network(vocab, widen=1 / 8):
    channels = tuple(round(c * widen) for c in (512, 1024, 1024))
    return MODELS.build(
        dict(
            type='mmyolor_mtl.YOLORMTL',
            data_preprocessor=dict(type='mmyolor_mtl.YOLORMTLDataPreprocessor'),
            backbone=dict(type='mmyolor_mtl.ELANBackbone', widen_factor=widen),
            neck=dict(type='mmyolor_mtl.ELANPAFPN', in_channels=channels, widen_factor=widen),
            heads=dict(
                cap=dict(
                    type='mmyolor_mtl.CaptionHead',
                    in_channels=channels,
                    source='backbone',
                    embed_dims=128,
                    num_layers=2,
                    num_heads=4,
                    feedforward_channels=256,
                    mlp_channels=128,
                    dropout=0.0,
                    max_length=40,
                    tokenizer=dict(type='mmyolor_mtl.WordTokenizer', vocab_file=str(vocab)),
                    test_cfg=dict(beam_size=3, max_length=36),
                )
            ),
        )
    )


def pipeline(vocab, size):
    return [
        dict(type='LoadImageFromFile'),
        dict(type='mmyolor_mtl.LoadMTLAnnotations', tasks=('cap',)),
        dict(type='mmyolor_mtl.CaptionView', scale=(size, size)),
        dict(
            type='mmyolor_mtl.TokenizeCaption',
            tokenizer=dict(type='mmyolor_mtl.WordTokenizer', vocab_file=str(vocab)),
            max_length=40,
            captions_per_image=5,
        ),
        dict(type='mmyolor_mtl.Letterbox', scale=(size, size), area_shrink=False),
        dict(type='mmyolor_mtl.PackMTLInputs'),
    ]


def learn_by_heart(dataset_type, root, vocab, count, steps, size):
    """Train on the first images, return BLEU-4 of what is written about them."""
    torch.manual_seed(0)
    np.random.seed(0)
    dataset = dataset_type(
        data_root=str(root),
        caption_file='annotations/captions_train2017.json',
        data_prefix=dict(img='train2017/'),
        pipeline=[],
        indices=count,
    )
    captions = [dataset.get_data_info(i)['captions'] for i in range(count)]
    WordTokenizer.build(text for texts in captions for text in texts).save(vocab)
    dataset.pipeline = type(dataset.pipeline)(pipeline(vocab, size))
    model = network(vocab)
    model.init_weights()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    samples = [dataset[i] for i in range(count)]
    data = model.data_preprocessor(pseudo_collate(samples), training=True)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        model(**data, mode='loss')['loss_cap_ce'].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    # Running statistics of so few steps lag behind: those of the pictures themselves are what was learnt.
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model(**data, mode='loss')
        found = model.eval().test_step(pseudo_collate([dataset[i] for i in range(count)]))
    written = [ptb_tokenize(sample.pred_caption) for sample in found]
    return corpus_bleu(written, [[ptb_tokenize(text) for text in texts] for texts in captions])[3]


def test_drawn_scenes(tmp_path):
    root = write_shapes(tmp_path / 'shapes', 4, 0, size=64, seed=1)
    assert learn_by_heart(ShapesDataset, root, tmp_path / 'vocab.txt', 4, 60, 64) >= 0.95


@pytest.mark.slow
def test_photographs(shared_dir, tmp_path):
    found = learn_by_heart(COCOMultiTaskDataset, shared_dir / 'mini_coco', tmp_path / 'vocab.txt', 16, 120, 128)
    assert found >= 0.95
