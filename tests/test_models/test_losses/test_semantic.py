import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.losses import FocalLoss

from mmyolor_mtl.models.losses import IndexDiceLoss, IndexFocalLoss


def dense(target, num_classes):
    """Multi-hot map (B, S, H, W) of an index map (B, L, H, W)."""
    one_hot = F.one_hot(target.where(target < num_classes, torch.tensor(num_classes)), num_classes + 1)
    return one_hot[..., :num_classes].amax(dim=1).permute(0, 3, 1, 2).float()


def batch(seed, layers, num_classes=7):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, num_classes, 5, 6, generator=generator, dtype=torch.float64) * 4
    target = torch.randint(0, num_classes + 2, (2, layers, 5, 6), generator=generator)
    return logits.requires_grad_(), target.where(target < num_classes, torch.tensor(255))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_focal_equals_mmdet_on_the_multi_hot_map(seed, layers):
    logits, target = batch(seed, layers)
    ours = IndexFocalLoss(loss_weight=25.0)(logits, target)
    flat, hot = (x.permute(0, 2, 3, 1).reshape(-1, 7) for x in (logits.float(), dense(target, 7)))
    theirs = FocalLoss(use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=25.0)(flat, hot, avg_factor=flat.numel())
    assert torch.allclose(ours, theirs, rtol=1e-5)
    (ours_grad,) = torch.autograd.grad(ours, logits, retain_graph=True)
    (theirs_grad,) = torch.autograd.grad(theirs, logits)
    assert torch.allclose(ours_grad, theirs_grad, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_dice_equals_the_dense_formula(seed, layers):
    logits, target = batch(seed, layers)
    hot = dense(target, 7)
    p = logits.softmax(dim=1)
    expected = 1.25 * (1 - (2 * (p * hot).sum() + 1) / (p.sum() + hot.sum() + 1))
    assert torch.allclose(IndexDiceLoss(loss_weight=1.25)(logits, target).double(), expected, rtol=1e-5)


def test_unlabelled_pixels_are_negatives_for_every_class():
    logits = torch.zeros(1, 3, 2, 2, requires_grad=True)
    IndexFocalLoss()(logits, torch.full((1, 1, 2, 2), 255)).backward()
    assert (logits.grad > 0).all()


@pytest.mark.parametrize('loss', [IndexFocalLoss(), IndexDiceLoss()])
def test_target_of_another_size_is_refused(loss):
    with pytest.raises(ValueError, match='differ in batch or size'):
        loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 8, 8, dtype=torch.long))
