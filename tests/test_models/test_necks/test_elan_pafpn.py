import pytest
import torch

from mmyolor_mtl.models.necks import ELANPAFPN

from ..helpers import count


def test_parameters_equal_the_reference():
    neck = ELANPAFPN()
    assert count(neck.spp) == 7_609_344
    assert count(neck) - count(neck.out_convs) == 16_902_144
    assert [count(layer) for layer in neck.out_convs] == [295_424, 1_180_672, 4_720_640]


def test_shapes_follow_the_width_and_the_levels():
    neck = ELANPAFPN(in_channels=(32, 64, 64), widen_factor=1 / 16, deepen_factor=0.5)
    outputs = neck([torch.zeros(2, 32, 8, 12), torch.zeros(2, 64, 4, 6), torch.zeros(2, 64, 2, 3)])
    assert [tuple(x.shape) for x in outputs] == [(2, 16, 8, 12), (2, 32, 4, 6), (2, 64, 2, 3)]
    assert neck.out_channels == [16, 32, 64]


def test_every_parameter_gets_a_gradient():
    neck = ELANPAFPN(in_channels=(32, 64, 64), widen_factor=1 / 16)
    feats = [torch.randn(1, c, s, s) for c, s in ((32, 8), (64, 4), (64, 2))]
    sum(x.sum() for x in neck(feats)).backward()
    assert all(p.grad is not None for p in neck.parameters())


def test_another_number_of_levels_is_refused():
    with pytest.raises(ValueError, match='ELANPAFPN needs 3 feature levels, in_channels names 2'):
        ELANPAFPN(in_channels=(8, 8))
