import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from mmyolor_mtl.models.backbones import ELANBackbone
from mmyolor_mtl.registry import MODELS

from ..helpers import count

# REFERENCE_SPEC 1.2: parameters of the reference's layers, summed over each of our stages
STAGE_PARAMETERS = (
    928 + 18_560 + 36_992,
    73_984 + 2 * 8_320 + 4 * 36_992 + 66_048,
    33_024 + 33_024 + 147_712 + 2 * 33_024 + 4 * 147_712 + 263_168,
    2 * 131_584 + 590_336 + 2 * 131_584 + 4 * 590_336 + 1_050_624,
    2 * 525_312 + 2_360_320 + 2 * 262_656 + 4 * 590_336 + 1_050_624,
)


def test_parameters_of_every_stage_equal_the_reference():
    backbone = ELANBackbone()
    assert tuple(count(stage) for stage in backbone.stages) == STAGE_PARAMETERS
    assert count(backbone) == 13_371_808


def test_norms_are_set_as_in_the_reference():
    norms = [m for m in ELANBackbone(widen_factor=0.25).modules() if isinstance(m, _BatchNorm)]
    assert norms and all(m.eps == 1e-3 and m.momentum == 0.03 for m in norms)


@pytest.mark.parametrize('width, depth', [(1 / 16, 0.5), (0.25, 1.0), (0.375, 1.5)])
def test_multipliers_change_channels_and_depth(width, depth):
    backbone = ELANBackbone(widen_factor=width, deepen_factor=depth)
    outputs = backbone(torch.zeros(2, 3, 64, 96))
    assert [tuple(x.shape) for x in outputs] == [
        (2, backbone.out_channels[2], 8, 12),
        (2, backbone.out_channels[3], 4, 6),
        (2, backbone.out_channels[4], 2, 3),
    ]
    assert backbone.out_channels[4] == 1024 * width
    assert len(backbone.stage1[1].chain) == max(1, round(2 * depth))


def test_chain_outputs_are_concatenated_most_recent_first():
    block = ELANBackbone(widen_factor=1 / 16).stage1[1].eval()
    x = torch.randn(1, 8, 8, 8)
    seen = {}
    block.fuse.register_forward_pre_hook(lambda module, args: seen.update(x=args[0]))
    block(x)
    entry = block.entry(x)
    second = block.chain[0](entry)
    fourth = block.chain[1](second)
    assert torch.equal(seen['x'], torch.cat([fourth, second, entry, block.shortcut(x)], dim=1))


def test_frozen_stages_neither_learn_nor_move_their_statistics():
    backbone = MODELS.build(dict(type='mmyolor_mtl.ELANBackbone', widen_factor=1 / 16, frozen_stages=1)).train()
    before = backbone.stem[0].bn.running_mean.clone()
    sum(x.sum() for x in backbone(torch.randn(2, 3, 64, 64))).backward()
    assert torch.equal(before, backbone.stem[0].bn.running_mean)
    assert not any(p.requires_grad for p in backbone.stage1.parameters())
    assert all(p.grad is not None for p in backbone.stage2.parameters())


def test_norm_eval_keeps_statistics():
    backbone = ELANBackbone(widen_factor=1 / 16, norm_eval=True).train()
    assert not any(m.training for m in backbone.modules() if isinstance(m, _BatchNorm))


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(widen_factor=0), 'widen_factor must be positive, got 0'),
        (dict(deepen_factor=-1), 'deepen_factor must be positive'),
        (dict(out_indices=(5,)), 'out_indices must name stages between 0 and 4'),
        (dict(frozen_stages=9), 'frozen_stages must lie between -1 and 4'),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ELANBackbone(**kwargs)
