"""Flavours of the prediction branches, parameter by parameter (REFERENCE_SPEC 1.6, 2.1, 2.2, 2.7)."""

import pytest
import torch

from mmyolor_mtl.models.heads.branches import (
    DetectionBranches,
    DistributionProjection,
    MaskBranches,
    PredictionBranch,
    SemanticBranches,
    flatten_levels,
)
from mmyolor_mtl.models.layers.conv import ACT_CFG, NORM_CFG

from ..helpers import count

KWARGS = dict(norm_cfg=NORM_CFG, act_cfg=ACT_CFG)
GELAN = (256, 512, 512)


def detection(in_channels=GELAN, **kwargs):
    cfg = dict(num_classes=80, strides=(8, 16, 32), reg_max=16, box_groups=1, light_cls=False, implicit=False)
    return DetectionBranches(in_channels=in_channels, **{**cfg, **kwargs}, **KWARGS)


@pytest.mark.parametrize(
    ('channels', 'options', 'box', 'cls'),
    [
        ((256, 512, 1024), {}, 1_156_032, 5_962_992),
        (GELAN, {}, 861_120, 4_783_344),
        (GELAN, dict(box_groups=4), 5_552_320 - 4_783_344 - 16, 4_783_344),
        (GELAN, dict(box_groups=4, light_cls=True), 768_960, 611_568),
        ((512, 512, 512), dict(box_groups=4, light_cls=True), 1_887_936, 1_735_920),
    ],
)
def test_parameters_of_the_reference(channels, options, box, cls):
    branches = detection(channels, **options)
    assert (count(branches.box_branches), count(branches.cls_branches)) == (box, cls)
    assert count(branches.projection) == 16


def test_sides_of_a_grouped_box_branch_are_independent():
    branch = PredictionBranch(8, 16, 64, groups=4, **KWARGS).eval()
    x = torch.randn(1, 8, 5, 5)
    before = branch(x)
    with torch.no_grad():
        branch[1].conv.weight[:4] += 1  # what belongs to the first side
    changed = (branch(x) - before).abs().amax(dim=(0, 2, 3)) > 0
    assert changed[:16].all() and not changed[16:].any()


def test_implicit_knowledge_folds_into_the_predictor():
    branch = PredictionBranch(8, 16, 6, implicit=True, **KWARGS).eval()
    x = torch.randn(2, 8, 6, 6)
    expected = branch(x)
    branch.switch_to_deploy()
    assert torch.allclose(branch(x), expected, atol=1e-6)
    assert len(branch) == 4 and isinstance(branch.predictor, torch.nn.Conv2d)  # the shift stays
    branch.switch_to_deploy()
    assert torch.allclose(branch(x), expected, atol=1e-6)


def test_implicit_knowledge_shifts_and_scales():
    branch = PredictionBranch(8, 16, 6, implicit=True, **KWARGS).eval()
    x = torch.randn(1, 8, 4, 4)
    before = branch(x)
    with torch.no_grad():
        branch[-1].implicit.mul_(2)
    assert torch.allclose(branch(x), 2 * before, atol=1e-5)
    with torch.no_grad():
        branch[0].implicit.add_(1)
    assert not torch.allclose(branch(x), 2 * before, atol=1e-3)


def test_a_twin_learns_on_its_own():
    main = detection((8, 8, 8))
    twin = main.twin()
    feats = [torch.randn(1, 8, 4 >> i, 4 >> i) for i in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(main.eval()(feats), twin.eval()(feats), strict=True))
    twin(feats)[0].sum().backward()
    assert all(p.grad is None for p in main.parameters())


def test_levels_are_joined_in_order_and_row_by_row():
    feats = [torch.arange(6.0).view(1, 1, 2, 3), torch.full((1, 1, 1, 1), 9.0), torch.zeros(1, 1, 1, 1)]
    joined = flatten_levels([torch.nn.Identity()] * 2, feats)
    assert joined[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5, 9]  # the third map has no branch


def test_expectation_of_the_bins():
    dists = torch.full((1, 64), -50.0)
    dists[0, [3, 16 + 7, 32 + 0, 48 + 15]] = 50.0
    assert torch.allclose(DistributionProjection(16)(dists), torch.tensor([[3.0, 7.0, 0.0, 15.0]]))


@pytest.mark.parametrize(
    ('channels', 'branch', 'coefs', 'protos'),
    [
        (GELAN, None, 854_880, 1_188_928),
        (GELAN, dict(num_blocks=2), 854_880, 941_312 + 8_256),
        ((512, 512, 512), dict(num_blocks=2), 2_225_760, 1_140_736 + 8_256),
    ],
)
def test_mask_branches_of_the_reference(channels, branch, coefs, protos):
    branches = MaskBranches(
        in_channels=channels, num_prototypes=32, proto_channels=256, branch=branch, implicit=False, **KWARGS
    )
    assert count(branches.coef_branches) == coefs
    assert count(branches) - coefs == protos


def test_prototypes_stand_at_twice_the_resolution():
    for branch in (None, dict(num_blocks=1, split_channels=8, stage_channels=4)):
        branches = MaskBranches(
            in_channels=(8, 8), num_prototypes=4, proto_channels=8, branch=branch, implicit=True, **KWARGS
        )
        coefs, protos = branches([torch.randn(2, 8, 4, 6), torch.randn(2, 8, 2, 3)])
        assert coefs.shape == (2, 30, 4) and protos.shape == (2, 4, 8, 12)
        assert protos.min() >= -0.2785  # behind SiLU


@pytest.mark.parametrize(
    ('options', 'parameters', 'size'),
    [
        (dict(), 44_461, (4, 6)),
        (dict(hidden_channels=64), 158_829, (4, 6)),
        (dict(branch=dict(num_blocks=2)), 44_461 + 941_312, (8, 12)),
    ],
)
def test_semantic_branches_of_the_reference(options, parameters, size):
    cfg = dict(num_classes=173, in_channels=(256,), hidden_channels=None, num_levels=1, branch=None, implicit=False)
    branches = SemanticBranches(**{**cfg, **options}, **KWARGS)
    assert count(branches) == parameters
    logits, upsampled = branches([torch.randn(1, 256, 4, 6)])
    assert logits.shape == (1, 173, *size)
    assert (upsampled is None) == ('branch' not in options)


@pytest.mark.parametrize('hidden_channels', [None, 8])
def test_implicit_knowledge_of_the_classifier_folds_exactly(hidden_channels):
    cfg = dict(num_classes=5, in_channels=(6,), hidden_channels=hidden_channels, num_levels=1, branch=None)
    branches = SemanticBranches(**cfg, implicit=True, **KWARGS).eval()
    assert count(branches) - count(SemanticBranches(**cfg, implicit=False, **KWARGS)) == (hidden_channels or 6) + 5
    with torch.no_grad():
        branches.shift.implicit += torch.randn(1, hidden_channels or 6, 1, 1)
    x = [torch.randn(2, 6, 4, 4)]
    expected = branches(x)[0]
    for _ in range(2):
        branches.switch_to_deploy()
        assert torch.allclose(branches(x)[0], expected, atol=1e-5)
    assert branches.shift is None
