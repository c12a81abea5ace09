import torch
from mmdet.structures.bbox import bbox_overlaps

from mmyolor_mtl.models.losses import CompleteIoULoss, complete_iou


def random_boxes(n, seed):
    generator = torch.Generator().manual_seed(seed)
    xy = torch.rand(n, 2, generator=generator) * 50
    return torch.cat([xy, xy + 1 + torch.rand(n, 2, generator=generator) * 50], dim=1)


def test_equal_boxes_have_ciou_one():
    boxes = random_boxes(20, 0)
    assert torch.allclose(complete_iou(boxes, boxes), torch.ones(20), atol=1e-5)


def test_never_above_iou_and_equal_for_concentric_boxes_of_one_aspect():
    a, b = random_boxes(500, 1), random_boxes(500, 2)
    iou = bbox_overlaps(a, b, is_aligned=True)
    assert (complete_iou(a, b) <= iou + 1e-5).all()
    outer = torch.tensor([[0.0, 0.0, 40.0, 20.0]])
    inner = torch.tensor([[10.0, 5.0, 30.0, 15.0]])
    assert torch.allclose(complete_iou(outer, inner), torch.tensor([0.25]), atol=1e-5)


def test_aspect_term_counts_below_half_overlap():
    # mmdet's CIoULoss drops the term here; by hand: iou 400/3600, same centre, v = 4/pi^2 (atan(4) - atan(1/4))^2
    a, b = torch.tensor([[0.0, 15.0, 40.0, 25.0]]), torch.tensor([[15.0, 0.0, 25.0, 40.0]])
    iou = 100 / 700
    v = 4 / torch.pi**2 * (torch.atan(torch.tensor(4.0)) - torch.atan(torch.tensor(0.25))) ** 2
    expected = iou - v * v / (v - iou + 1)
    assert torch.allclose(complete_iou(a, b), expected[None], atol=1e-4)


def test_loss_is_weighted_and_normalised():
    a, b = random_boxes(4, 3), random_boxes(4, 4)
    weight = torch.tensor([1.0, 0.0, 0.5, 2.0])
    loss = CompleteIoULoss(loss_weight=3.0)(a, b, weight=weight, avg_factor=7.0)
    assert torch.allclose(loss, 3.0 * ((1 - complete_iou(a, b)) * weight).sum() / 7.0)
