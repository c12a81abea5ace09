import pytest
import torch
from mmengine.structures import InstanceData

from mmyolor_mtl.models.heads.detection_head import YOLORDetectionHead
from mmyolor_mtl.models.heads.mask_head import YOLORMaskHead

from ..helpers import count, labelled_sample

CHANNELS = (8, 16, 16)


def heads():
    torch.manual_seed(0)
    return (
        YOLORDetectionHead(num_classes=4, in_channels=CHANNELS),
        YOLORMaskHead(in_channels=CHANNELS, num_prototypes=8, proto_channels=16),
    )


def features(batch=2, size=64):
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(batch, c, size // s, size // s, generator=generator)
        for c, s in zip(CHANNELS, (8, 16, 32), strict=True)
    ]


def test_parameters_equal_the_reference():
    head = YOLORMaskHead()
    assert count(head.main.coef_branches) == 1_149_792
    assert count(head.main.proto) == 1_188_928
    assert count(head) == 2_338_720


def test_prototypes_pass_through_silu():
    _, head = heads()
    protos = head(features())['mask_protos']
    assert protos.shape == (2, 8, 16, 16)
    assert protos.min() >= -0.2785


def test_masks_are_learnt():
    det, ins = heads()
    samples = [labelled_sample(boxes=((8, 8, 40, 40),)), labelled_sample(boxes=((16, 24, 60, 60),), labels=(2,))]
    feats = features()
    optimizer = torch.optim.AdamW([*det.parameters(), *ins.parameters()], lr=0.01)
    for _ in range(60):
        shared = {}
        losses = {**det.loss(feats, samples, shared), **ins.loss(feats, samples, shared)}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    det.eval(), ins.eval()
    shared = {}
    with torch.no_grad():
        det.predict(feats, samples, shared)
        ins.predict(feats, samples, shared)
    mask = samples[0].pred_instances.masks[0]
    expected = torch.zeros(64, 64, dtype=torch.bool)
    expected[8:40, 8:40] = True
    assert mask.dtype == torch.bool and mask.shape == (64, 64)
    assert (mask & expected).sum() / (mask | expected).sum() > 0.8


def test_only_images_with_mask_labels_count():
    det, ins = heads()
    det.eval(), ins.eval()  # batch statistics would tie the images together
    feats = features(3)
    samples = [labelled_sample(), labelled_sample(tasks=('det',)), labelled_sample(tasks=('sem',))]
    shared = {}
    det.loss(feats, samples, shared)
    mixed = ins.loss(feats, samples, shared)['loss_ins_mask']
    shared = {}
    first = [x[:1] for x in feats]
    det.loss(first, samples[:1], shared)
    alone = ins.loss(first, samples[:1], shared)['loss_ins_mask']
    assert torch.allclose(mixed, alone, rtol=1e-5) and mixed > 0


@pytest.mark.parametrize('tasks', [('det',), ('cap',)])
def test_no_mask_label_gives_zero_that_reaches_every_parameter(tasks):
    det, ins = heads()
    shared = {}
    samples = [labelled_sample(tasks=tasks), labelled_sample(tasks=tasks)]
    det.loss(features(), samples, shared)
    loss = ins.loss(features(), samples, shared)['loss_ins_mask']
    assert float(loss) == 0
    loss.backward()
    assert all(p.grad is not None for p in ins.parameters())


def test_targets_of_another_stride_are_refused():
    det, ins = heads()
    sample = labelled_sample()
    sample.gt_mask_targets = torch.zeros(1, 32, 32, dtype=torch.uint8)
    shared = {}
    det.loss(features(1), [sample], shared)
    with pytest.raises(ValueError, match='mask_stride of PackMTLInputs'):
        ins.loss(features(1), [sample], shared)


def test_mask_stays_in_its_box_and_comes_back_at_the_original_size():
    _, head = heads()
    sample = labelled_sample()
    sample.set_metainfo(
        dict(ori_shape=(50, 100), img_shape=(64, 64), pad_param=(16, 16, 0, 0), scale_factor=(0.64, 0.64))
    )
    boxes = torch.tensor([[16.0, 24.0, 48.0, 40.0]])
    sample.pred_instances = InstanceData(bboxes=boxes, scores=torch.ones(1))
    head.forward = lambda feats: dict(mask_coefs=torch.full((1, 4, 8), 9.0), mask_protos=torch.ones(1, 8, 16, 16))
    head.predict([], [sample], dict(detections=[InstanceData(bboxes=boxes, anchors=torch.tensor([2]))]))
    mask = sample.pred_instances.masks[0]
    expected = torch.zeros(50, 100, dtype=torch.bool)
    expected[13:38, 25:75] = True  # (24 - 16) / 0.64 = 12.5, 40 -> 37.5; 16 / 0.64 = 25, 48 -> 75
    assert mask.shape == (50, 100)
    assert (mask ^ expected).sum() <= 2 * 50


def test_no_detection_gives_no_mask():
    _, head = heads()
    sample = labelled_sample()
    none = InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), anchors=torch.zeros(0, dtype=torch.long))
    sample.pred_instances = InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0))
    head.eval().predict(features(1), [sample], dict(detections=[none]))
    assert sample.pred_instances.masks.shape == (0, 64, 64)
