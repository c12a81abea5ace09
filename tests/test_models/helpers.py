"""Small networks and labelled samples for the tests of the models."""

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData


def count(module, trainable_only: bool = False) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable_only)


def labelled_sample(
    size=(64, 64), boxes=((8, 8, 40, 40),), labels=(1,), tasks=('det', 'ins', 'sem', 'cap'), num_classes=6, seed=0
) -> DetDataSample:
    """A sample whose masks fill their boxes and whose semantic map agrees with them."""
    height, width = size
    sample = DetDataSample(
        metainfo=dict(
            labelled_tasks=tasks,
            ori_shape=size,
            img_shape=size,
            scale_factor=(1.0, 1.0),
            pad_param=(0, 0, 0, 0),
            batch_input_shape=size,
            caption_region=(0, 0, width, height),
            img_id=seed,
        )
    )
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor(labels, dtype=torch.long))
    masks = torch.zeros(len(boxes), height // 4, width // 4, dtype=torch.uint8)
    sem = torch.full((1, height, width), num_classes - 1, dtype=torch.uint8)
    for row, (box, label) in enumerate(zip(boxes.long().tolist(), labels, strict=True)):
        x1, y1, x2, y2 = box
        masks[row, y1 // 4 : y2 // 4, x1 // 4 : x2 // 4] = 1
        sem[0, y1:y2, x1:x2] = label
    sample.set_field(masks, 'gt_mask_targets')
    sample.gt_sem_seg = PixelData(sem_seg=sem)
    sample.set_field(sem[:, 2::4, 2::4].clone(), 'gt_sem_target')
    generator = torch.Generator().manual_seed(seed)
    sample.set_field(torch.tensor([2, 5, 6, 3]), 'gt_caption_ids')
    sample.set_field(['a thing'], 'gt_captions')
    sample.set_field(torch.randint(0, 255, (3, height, width), generator=generator, dtype=torch.uint8), 'caption_view')
    return sample


def tiny_model(**overrides) -> dict:
    """Config of a four-task network that is 1/16 as wide as the paper's."""
    backbone = dict(type='mmyolor_mtl.ELANBackbone', widen_factor=1 / 16, deepen_factor=0.5)
    neck = dict(type='mmyolor_mtl.ELANPAFPN', in_channels=(32, 64, 64), widen_factor=1 / 16, deepen_factor=0.5)
    channels = (16, 32, 64)
    heads = dict(
        det=dict(type='mmyolor_mtl.YOLORDetectionHead', num_classes=4, in_channels=channels),
        ins=dict(type='mmyolor_mtl.YOLORMaskHead', in_channels=channels, num_prototypes=8, proto_channels=16),
        sem=dict(type='mmyolor_mtl.YOLORSemanticHead', num_classes=6, in_channels=channels),
        cap=dict(
            type='mmyolor_mtl.CaptionHead',
            in_channels=(32, 64, 64),
            embed_dims=32,
            num_layers=1,
            num_heads=4,
            feedforward_channels=32,
            mlp_channels=32,
            max_length=12,
            vocab_size=20,
            tokenizer=None,
        ),
    )
    return dict(
        type='mmyolor_mtl.YOLORMTL',
        data_preprocessor=dict(type='mmyolor_mtl.YOLORMTLDataPreprocessor'),
        backbone=backbone,
        neck=neck,
        heads=heads,
        test_cfg=dict(panoptic=dict(num_things=4, num_evaluated=6)),
        **overrides,
    )
