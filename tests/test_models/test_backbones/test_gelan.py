"""GELAN's backbone and the auxiliary branch of GYOLO."""

import pytest
import torch

from mmyolor_mtl.models.backbones import GELANAuxiliaryBranch, GELANBackbone
from mmyolor_mtl.models.backbones.gelan_auxiliary import CBLinear, fuse_nearest
from mmyolor_mtl.registry import MODELS

from ..helpers import count


def test_sizes_of_the_reference():
    backbone = GELANBackbone()
    assert count(backbone) == 8_328_384
    assert backbone.out_channels == [64, 256, 512, 512, 512]


def test_levels_and_strides():
    feats = GELANBackbone(widen_factor=0.125, out_indices=(0, 1, 2, 3, 4))(torch.zeros(1, 3, 64, 96))
    assert [tuple(x.shape) for x in feats] == [
        (1, 8, 32, 48),
        (1, 32, 16, 24),
        (1, 64, 8, 12),
        (1, 64, 4, 6),
        (1, 64, 2, 3),
    ]


def test_multipliers():
    deeper = GELANBackbone(widen_factor=0.125, deepen_factor=2)
    assert len(deeper.stage2[1].stages[0][0].blocks) == 2
    with pytest.raises(ValueError, match='widen_factor must be positive'):
        GELANBackbone(widen_factor=0)
    with pytest.raises(ValueError, match='out_indices must name stages between 0 and 4'):
        GELANBackbone(out_indices=(5,))


def test_frozen_stages_stay_still():
    backbone = MODELS.build(dict(type='mmyolor_mtl.GELANBackbone', widen_factor=0.125, frozen_stages=1)).train()
    backbone(torch.randn(2, 3, 64, 64))[-1].sum().backward()
    assert not any(p.requires_grad for p in [*backbone.stem.parameters(), *backbone.stage1.parameters()])
    assert all(p.grad is not None for p in backbone.stage2.parameters())
    assert int(backbone.stem.bn.num_batches_tracked) == 0 and int(backbone.stage2[0].down.bn.num_batches_tracked) == 1


class TestAuxiliaryBranch:
    def test_sizes_of_the_reference(self):
        branch = GELANAuxiliaryBranch()
        routes = 131_328 + 393_984 + 656_640
        stem = 1_856 + 73_984 + 212_864
        trunk = 164_352 + 847_616 + 656_384 + 2_857_472 + 656_384 + 2_857_472
        assert count(branch) == routes + stem + trunk

    def test_it_reads_the_picture_and_every_level(self):
        images = torch.randn(1, 3, 64, 96, requires_grad=True)
        feats = [torch.randn(1, 16, 8 >> i, 12 >> i, requires_grad=True) for i in range(3)]
        branch = GELANAuxiliaryBranch(in_channels=(16, 16, 16), widen_factor=0.125)
        outputs = branch(images, feats)
        assert [tuple(x.shape) for x in outputs] == [(1, 64, 8, 12), (1, 64, 4, 6), (1, 64, 2, 3)]
        sum(x.square().sum() for x in outputs).backward()
        assert all(x.grad.abs().sum() > 0 for x in (images, *feats))
        assert all(p.grad is not None for p in branch.parameters())

    def test_needs_three_levels(self):
        with pytest.raises(ValueError, match='needs 3 feature levels'):
            GELANAuxiliaryBranch(in_channels=(16, 16))

    def test_parts(self):
        first, second = CBLinear(4, (2, 3))(torch.rand(1, 4, 2, 2))
        assert first.shape == (1, 2, 2, 2) and second.shape == (1, 3, 2, 2)
        small = torch.tensor([[[[1.0, 2.0]]]])
        assert torch.equal(fuse_nearest(torch.ones(1, 1, 2, 4), [small])[0, 0, 1], torch.tensor([2.0, 2, 3, 3]))
