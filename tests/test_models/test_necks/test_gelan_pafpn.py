"""GELAN's neck, plain and as GYOLO has it."""

import pytest
import torch

from mmyolor_mtl.models.necks import GELANPAFPN
from mmyolor_mtl.registry import MODELS

from ..helpers import count


def levels(channels=(16, 16, 16)):
    return [torch.randn(1, c, 8 >> i, 12 >> i, requires_grad=True) for i, c in enumerate(channels)]


@pytest.mark.parametrize('isolate_half', [False, True])
def test_sizes_of_the_reference(isolate_half):
    assert count(GELANPAFPN(isolate_half=isolate_half)) == 11_618_048
    assert count(GELANPAFPN(attention=True, isolate_half=isolate_half)) == 11_618_048 + 990_976


def test_levels():
    neck = MODELS.build(dict(type='mmyolor_mtl.GELANPAFPN', in_channels=(16, 16, 16), widen_factor=0.25))
    shapes = [(1, 64, 8, 12), (1, 128, 4, 6), (1, 128, 2, 3)]
    assert [tuple(x.shape) for x in neck(levels())] == shapes
    assert neck.out_channels == [64, 128, 128]
    attended = GELANPAFPN(in_channels=(16, 16, 16), widen_factor=0.25, attention=True)
    assert [tuple(x.shape) for x in attended(levels())] == [*shapes, (1, 128, 2, 3)]
    assert attended.out_channels == [64, 128, 128, 128]


def test_every_level_reaches_every_output():
    neck = GELANPAFPN(in_channels=(16, 16, 16), widen_factor=0.125, isolate_half=True)
    for index in range(3):
        feats = levels()
        neck(feats)[index].square().sum().backward()
        assert all(x.grad.abs().sum() > 0 for x in feats)


def test_isolated_halves_do_not_reach_below():
    neck = GELANPAFPN(in_channels=(16, 16, 16), widen_factor=0.125, isolate_half=True)
    feats = levels()
    neck(feats)[0][:, 16:].square().sum().backward()
    assert not any(x.grad.abs().sum() for x in feats if x.grad is not None)


def test_needs_three_levels():
    with pytest.raises(ValueError, match='needs 3 feature levels'):
        GELANPAFPN(in_channels=(16, 16))
