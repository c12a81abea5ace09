import torch
import torch.nn.functional as F

from mmyolor_mtl.models.losses import PrototypeMaskLoss, inside_boxes


def test_inside_is_half_open():
    inside = inside_boxes(torch.tensor([[1.0, 0.5, 3.0, 2.0]]), 4, 5)[0]
    expected = torch.zeros(4, 5, dtype=torch.bool)
    expected[1, 1:3] = True
    assert torch.equal(inside, expected)


def test_loss_equals_the_formula_written_out_per_object():
    torch.manual_seed(0)
    coefs, protos = torch.randn(2, 3, 4), torch.randn(2, 4, 8, 8)
    masks = torch.randint(0, 2, (2, 3, 8, 8))
    boxes = torch.tensor([[1.0, 1.0, 6.0, 7.0], [0.0, 2.0, 3.0, 5.0], [2.0, 2.0, 8.0, 8.0]]).repeat(2, 1, 1)
    valid = torch.tensor([[True, True, True], [True, False, False]])
    expected = 0.0
    for image in range(2):
        terms = []
        for row in range(3):
            if not valid[image, row]:
                continue
            logits = torch.einsum('m,mhw->hw', coefs[image, row], protos[image])
            bce = F.binary_cross_entropy_with_logits(logits, masks[image, row].float(), reduction='none')
            x1, y1, x2, y2 = boxes[image, row]
            crop = bce * inside_boxes(boxes[image, row], 8, 8)
            terms.append(crop.mean() / ((x2 - x1) / 8 * (y2 - y1) / 8))
        expected += torch.stack(terms).mean()
    loss = PrototypeMaskLoss(loss_weight=2.5)(coefs, protos, masks, boxes, valid)
    assert torch.allclose(loss, 2.5 / 2 * expected, rtol=1e-5)
