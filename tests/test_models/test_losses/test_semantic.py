import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.losses import FocalLoss

from mmyolor_mtl.models.losses import IndexCrossEntropyLoss, IndexDiceLoss, IndexFocalLoss
from mmyolor_mtl.models.losses import semantic as semantic_module


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
    ours = IndexDiceLoss(loss_weight=1.25)(logits, target)
    assert torch.allclose(ours.double(), expected, rtol=1e-5)
    (ours_grad,) = torch.autograd.grad(3 * ours, logits)
    (expected_grad,) = torch.autograd.grad(3 * expected, logits)
    assert torch.allclose(ours_grad, expected_grad, atol=1e-6)


@pytest.mark.parametrize('loss', [IndexFocalLoss(), IndexDiceLoss()])
def test_the_size_of_the_chunks_does_not_matter(loss, monkeypatch):
    logits, target = batch(3, layers=2)
    results = []
    for chunk in (1, 7 * 6 * 2, 2**20):
        monkeypatch.setitem(semantic_module.CHUNK, 'cpu', chunk)
        value = loss(logits, target)
        results.append((value, torch.autograd.grad(value, logits)[0]))
    assert all(torch.allclose(value, results[0][0], rtol=1e-6) for value, _ in results)
    assert all(torch.allclose(grad, results[0][1], atol=1e-8) for _, grad in results)


def test_alpha_may_be_one():
    logits = torch.tensor([2.0, -1.0]).view(1, 2, 1, 1).requires_grad_()
    value = IndexFocalLoss(alpha=1.0, loss_weight=1.0)(logits, torch.zeros(1, 1, 1, 1, dtype=torch.long))
    value.backward()
    assert torch.isfinite(logits.grad).all() and float(logits.grad[0, 1]) == 0


def test_unlabelled_pixels_are_negatives_for_every_class():
    logits = torch.zeros(1, 3, 2, 2, requires_grad=True)
    IndexFocalLoss()(logits, torch.full((1, 1, 2, 2), 255)).backward()
    assert (logits.grad > 0).all()


@pytest.mark.parametrize(
    'loss', [IndexFocalLoss(), IndexCrossEntropyLoss(), IndexDiceLoss(), IndexDiceLoss(per_class=True)]
)
def test_target_of_another_size_is_refused(loss):
    with pytest.raises(ValueError, match='differ in batch or size'):
        loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 8, 8, dtype=torch.long))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1.0]))
def test_cross_entropy_equals_torch_with_class_weights(seed, balance):
    logits, target = batch(seed, layers=1)
    labels = target[:, 0]
    counts = torch.bincount(labels[labels < 7], minlength=7)
    weight = torch.where(counts > 0, counts.clamp(min=1).double() ** -balance, torch.zeros(1, dtype=torch.float64))
    expected = 3 * F.cross_entropy(logits, labels, weight=weight, ignore_index=255)
    ours = IndexCrossEntropyLoss(balance=balance, loss_weight=3.0)(logits, target)
    assert torch.allclose(ours.double(), expected, rtol=1e-5)


def test_full_balance_counts_classes_not_pixels():
    logits = torch.zeros(1, 2, 1, 10)
    logits[:, 0] = 4.0  # right at nine pixels, wrong at the tenth
    target = torch.tensor([[[[0] * 9 + [1]]]])
    wrong, right = F.softplus(torch.tensor(4.0)), F.softplus(torch.tensor(-4.0))
    assert torch.isclose(IndexCrossEntropyLoss(balance=1.0)(logits, target), (wrong + right) / 2)
    assert torch.isclose(IndexCrossEntropyLoss(balance=0.0)(logits, target), (wrong + 9 * right) / 10)


def test_both_labels_of_a_mixed_pixel_count():
    logits = torch.tensor([0.0, 1.0, 2.0]).view(1, 3, 1, 1)
    single = [IndexCrossEntropyLoss()(logits, torch.full((1, 1, 1, 1), label)) for label in (0, 2)]
    both = IndexCrossEntropyLoss()(logits, torch.tensor([0, 2]).view(1, 2, 1, 1))
    assert torch.isclose(both, sum(single) / 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_dice_per_class_equals_the_dense_formula(seed, layers):
    logits, target = batch(seed, layers)
    hot = dense(target, 7)
    p = logits.softmax(dim=1) * hot.amax(dim=1, keepdim=True)
    dims = (0, 2, 3)
    dice = 1 - (2 * (p * hot).sum(dims) + 1) / (p.sum(dims) + hot.sum(dims) + 1)
    expected = 2 * dice[hot.sum(dims) > 0].mean()
    assert torch.allclose(IndexDiceLoss(per_class=True, loss_weight=2.0)(logits, target).double(), expected, rtol=1e-5)


@pytest.mark.parametrize('loss', [IndexCrossEntropyLoss(balance=0.5), IndexDiceLoss(per_class=True)])
def test_a_batch_without_labels_gives_a_zero_with_gradients(loss):
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    value = loss(logits, torch.full((1, 1, 2, 2), 255))
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


def test_balance_out_of_its_range_is_refused():
    with pytest.raises(ValueError, match='balance must lie between 0 and 1'):
        IndexCrossEntropyLoss(balance=-0.5)
