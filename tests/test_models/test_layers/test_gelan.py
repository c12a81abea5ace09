"""Blocks of GELAN: sizes, parameters, the isolated half, and the deploy form."""

import pytest
import torch

from mmyolor_mtl.models.layers.conv import ACT_CFG, NORM_CFG
from mmyolor_mtl.models.layers.gelan import (
    SPPELAN,
    ADown,
    HighResolutionBranch,
    RepConvN,
    RepNBottleneck,
    RepNCSP,
    RepNCSPELAN4,
)
from mmyolor_mtl.models.layers.psa import PSA, CellAttention

from ..helpers import count

KWARGS = dict(norm_cfg=NORM_CFG, act_cfg=ACT_CFG)

# REFERENCE_SPEC 1.1, 1.3, 1.4: block, its parameters, channels in and out, and how much larger the map becomes.
BLOCKS = [
    (lambda: RepConvN(8, 16, **KWARGS), 10 * 8 * 16 + 4 * 16, 8, 16, 1),
    (lambda: RepNCSPELAN4(128, 256, 128, 64, **KWARGS), 212_864, 128, 256, 1),
    (lambda: RepNCSPELAN4(1024, 512, 512, 256, **KWARGS), 3_119_616, 1024, 512, 1),
    (lambda: RepNCSPELAN4(1024, 256, 256, 128, isolate_half=True, **KWARGS), 912_640, 1024, 256, 1),
    (lambda: ADown(256, 256, **KWARGS), 164_352, 256, 256, 0.5),
    (lambda: SPPELAN(512, 512, 256, **KWARGS), 656_896, 512, 512, 1),
    (lambda: PSA(512, **KWARGS), 990_976, 512, 512, 1),
]


@pytest.mark.parametrize(('make', 'parameters', 'channels_in', 'channels_out', 'scale'), BLOCKS)
def test_sizes_parameters_and_gradients(make, parameters, channels_in, channels_out, scale):
    block = make()
    assert count(block) == parameters
    x = torch.randn(2, channels_in, 8, 12, requires_grad=True)
    y = block(x)
    assert y.shape == (2, channels_out, int(8 * scale), int(12 * scale))
    y.square().sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters())


def test_high_resolution_branch():
    branch = HighResolutionBranch(256, **KWARGS)
    assert count(branch) == 872_448 + 2_816 + 66_048
    assert count(HighResolutionBranch(512, **KWARGS)) == 1_069_568 + 5_120 + 66_048
    upsampled, out = HighResolutionBranch(8, 16, 16, 8, **KWARGS)(torch.rand(1, 8, 4, 6))
    assert upsampled.shape == (1, 8, 8, 12) and out.shape == (1, 16, 8, 12)
    assert torch.equal(upsampled[..., ::2, ::2], upsampled[..., 1::2, 1::2])


def test_isolated_half_keeps_its_gradient_to_itself():
    block = RepNCSPELAN4(8, 8, 8, 4, isolate_half=True, **KWARGS)
    x = torch.randn(1, 8, 4, 4, requires_grad=True)
    block(x)[:, 4:].square().sum().backward()
    assert block.isolated.conv.weight.grad.abs().sum() > 0
    assert not x.grad.abs().sum() and not block.split.conv.weight.grad.abs().sum()
    block(x)[:, :4].square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_isolation_changes_gradients_only():
    plain, isolated = (RepNCSPELAN4(8, 8, 8, 4, isolate_half=half, **KWARGS).eval() for half in (False, True))
    state = plain.state_dict()
    for key in list(state):
        if key.startswith('fuse.') and state[key].dim():
            state[key.replace('fuse', 'isolated')] = state[key][4:]
            state[key] = state[key][:4]
    isolated.load_state_dict(state, strict=False)
    x = torch.randn(1, 8, 6, 6)
    assert torch.allclose(plain(x), isolated(x), atol=1e-6)


def test_bottleneck_is_residual_and_csp_has_two_paths():
    bottleneck = RepNBottleneck(4, **KWARGS).eval()
    torch.nn.init.zeros_(bottleneck.conv.conv.weight)
    x = torch.randn(1, 4, 5, 5)
    assert torch.equal(bottleneck(x), x)
    csp = RepNCSP(4, 8, num_blocks=3, **KWARGS)
    assert len(csp.blocks) == 3 and csp(x).shape == (1, 8, 5, 5)


def test_adown_blurs_before_it_samples():
    """A checkerboard, which a bare stride would turn into a constant, averages out."""
    down = ADown(2, 2, **KWARGS).eval()
    checker = torch.ones(1, 2, 8, 8)
    checker[..., ::2, 1::2] = checker[..., 1::2, ::2] = -1
    assert torch.allclose(down(checker), down(torch.zeros(1, 2, 8, 8)), atol=1e-6)


def test_rep_conv_deploys_exactly_and_once():
    block = RepConvN(6, 10, **KWARGS)
    for _ in range(5):  # statistics that are not those of a fresh norm
        block(torch.randn(4, 6, 8, 8) * 2 + 1)
    block.eval()
    x = torch.randn(2, 6, 9, 7)
    expected = block(x)
    block.switch_to_deploy()
    assert count(block) == 9 * 6 * 10 + 10
    assert torch.allclose(block(x), expected, atol=1e-5)
    block.switch_to_deploy()
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_attention_sees_every_cell_and_knows_its_place():
    attention = CellAttention(64, norm_cfg=NORM_CFG).eval()
    x = torch.randn(1, 64, 4, 5)
    moved = x.clone()
    moved[..., 3, 4] += 1
    assert ((attention(moved) - attention(x)).abs().amax(dim=1) > 0).all()
    flipped = attention(x.flip(-1)).flip(-1)
    assert not torch.allclose(flipped, attention(x), atol=1e-4)
    with pytest.raises(ValueError, match='multiple of 64 channels, got 96'):
        CellAttention(96, norm_cfg=NORM_CFG)


def test_psa_leaves_its_first_half_alone():
    psa = PSA(128, **KWARGS).eval()
    torch.nn.init.zeros_(psa.attention.proj.conv.weight)
    torch.nn.init.zeros_(psa.ffn[1].conv.weight)
    x = torch.randn(1, 128, 4, 4)
    assert torch.allclose(psa(x), psa.fuse(psa.split(x)), atol=1e-6)
