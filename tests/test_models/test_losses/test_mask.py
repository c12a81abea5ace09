import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.models.losses import PrototypeMaskLoss, inside_boxes
from mmyolor_mtl.models.losses import mask as mask_module


def test_inside_is_half_open():
    inside = inside_boxes(torch.tensor([[1.0, 0.5, 3.0, 2.0]]), 4, 5)[0]
    expected = torch.zeros(4, 5, dtype=torch.bool)
    expected[1, 1:3] = True
    assert torch.equal(inside, expected)


def batch(seed, size=(9, 12), images=2, positives=7, objects=3):
    """Random positives; boxes reach over the border, are thinner than a pixel or empty now and then."""
    generator = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    corner = rand(images, objects, 2) * 12 - 2
    boxes = torch.cat([corner, corner + rand(images, objects, 2) * 9], dim=-1)
    gt_index = torch.randint(0, objects, (images, positives), generator=generator)
    return dict(
        coefs=torch.randn(images, positives, 4, generator=generator).requires_grad_(),
        protos=torch.randn(images, 4, *size, generator=generator).requires_grad_(),
        masks=(rand(images, objects, *size) > 0.5).to(torch.uint8),
        boxes=boxes.gather(1, gt_index[..., None].expand(-1, -1, 4)),
        gt_index=gt_index,
        valid=rand(images, positives) > 0.3,
    )


def formula(coefs, protos, masks, boxes, gt_index, valid):
    """REFERENCE_SPEC 3.2, one positive after the other."""
    height, width = protos.shape[2:]
    total = protos.sum() * 0
    for image in range(len(protos)):
        terms = []
        for row in valid[image].nonzero().flatten().tolist():
            logits = torch.einsum('m,mhw->hw', coefs[image, row], protos[image])
            target = masks[image, gt_index[image, row]].float()
            bce = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
            x1, y1, x2, y2 = boxes[image, row]
            area = ((x2 - x1) * (y2 - y1)).clamp(min=1e-3) / (height * width)
            terms.append((bce * inside_boxes(boxes[image, row], height, width)).mean() / area)
        if terms:
            total = total + torch.stack(terms).mean()
    return 2.5 / len(protos) * total


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 60, 2**19]))
def test_values_and_gradients_equal_the_formula_written_out_per_object(seed, chunk):
    inputs = batch(seed)
    if not inputs['valid'].any():
        return
    before, mask_module.CHUNK['cpu'] = mask_module.CHUNK['cpu'], chunk
    try:
        loss = PrototypeMaskLoss(loss_weight=2.5)(**inputs)
    finally:
        mask_module.CHUNK['cpu'] = before
    expected = formula(**inputs)
    assert torch.allclose(loss, expected, rtol=1e-5, atol=1e-6)
    variables = (inputs['coefs'], inputs['protos'])
    ours, theirs = torch.autograd.grad(3 * loss, variables), torch.autograd.grad(3 * expected, variables)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_half_precision_inputs_get_gradients_of_their_kind():
    inputs = batch(3)
    half = {**inputs, 'coefs': inputs['coefs'].detach().bfloat16().requires_grad_()}
    PrototypeMaskLoss()(**half).backward()
    assert half['coefs'].grad.dtype == torch.bfloat16 and half['coefs'].grad.abs().sum() > 0


def test_padding_has_no_gradient():
    inputs = batch(5)
    PrototypeMaskLoss()(**inputs).backward()
    assert not inputs['coefs'].grad[~inputs['valid']].any()
    assert inputs['coefs'].grad[inputs['valid']].any()


@pytest.mark.parametrize('box', [(3.0, 3.0, 3.0, 5.0), (20.0, 20.0, 30.0, 30.0)])
def test_a_box_without_a_pixel_costs_nothing(box):
    inputs = batch(1)
    inputs['boxes'] = torch.tensor(box).expand(2, 7, 4)
    loss = PrototypeMaskLoss()(**inputs)
    loss.backward()
    assert float(loss.detach()) == 0 and not inputs['protos'].grad.any()
