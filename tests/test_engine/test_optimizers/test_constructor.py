"""Groups of the paper's network, and clipping by part."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmyolor_mtl.registry import MODELS

ROOT = Path(__file__).resolve().parents[3]
PAPER = ROOT / 'configs/yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'


def test_every_parameter_of_the_papers_network_is_in_the_right_group():
    cfg = Config.fromfile(PAPER)
    cfg.model.heads.cap.pop('tokenizer')
    cfg.model.heads.det.implicit = True
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    cfg.optim_wrapper.paramwise_cfg.custom_keys['heads.cap.'].lr_mult = 0.5
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    groups = {id(p): group for group in optimizer.param_groups for p in group['params']}
    assert len(optimizer.param_groups) == 7  # trunk and heads: weights, norms, biases, implicit; captions: three
    modules = dict(model.named_modules())
    seen = dict.fromkeys(('weight', 'norm', 'bias', 'implicit'), 0)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert id(parameter) not in groups and name.endswith('.bins')
            continue
        group = groups.pop(id(parameter)), name
        owner, _, last = name.rpartition('.')
        is_norm = 'Norm' in type(modules[owner]).__name__
        kind = 'bias' if last == 'bias' else 'norm' if is_norm else 'implicit' if last == 'implicit' else 'weight'
        seen[kind] += 1
        assert group[0]['kind'] == ('weight' if kind == 'implicit' else kind), name
        # Word and position tables decay like all other weights, as in the reference.
        assert group[0]['weight_decay'] == (0.005 if kind == 'weight' else 0.0), name
        in_caption_head = name.startswith('heads.cap.')
        assert group[0]['lr'] == (0.002 if in_caption_head else 0.004), name
        assert group[0]['part'] == ('heads.cap.' if in_caption_head else ''), name
    assert not groups and min(seen.values()) >= 9 and sum(seen.values()) > 500


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Linear(4, 4)
        self.cap = nn.Linear(4, 4)
        self.tied = self.trunk.weight  # one parameter under two names is optimised once


def build(model, wrapper='OptimWrapper', **settings):
    cfg = dict(
        type=wrapper,
        constructor='mmyolor_mtl.MTLOptimWrapperConstructor',
        optimizer=dict(type='SGD', lr=1.0, weight_decay=0.0),
        paramwise_cfg=dict(custom_keys={'cap.': dict(max_norm=0.5)}),
        clip_grad=dict(max_norm=2.0),
    )
    return build_optim_wrapper(model, {**cfg, **settings})


def norm(module):
    return float(torch.cat([p.grad.flatten() for p in module.parameters()]).norm())


@pytest.mark.parametrize('scale', [None, 1024.0])
def test_parts_are_clipped_apart_after_unscaling(scale):
    """The trunk's gradient of norm 4 to 2, the captions' of norm 1 to 0.5; a small one stays as it is."""
    model = Net()
    amp = {} if scale is None else dict(dtype='float16', loss_scale=dict(init_scale=scale))
    wrapper = build(model, 'OptimWrapper' if scale is None else 'mmyolor_mtl.MTLAmpOptimWrapper', **amp)
    assert len(wrapper.optimizer.param_groups) == 4
    assert sum(len(group['params']) for group in wrapper.optimizer.param_groups) == 4
    wrapper.optimizer.step = lambda *args, **kwargs: None
    for trunk, cap, expected in ((4.0, 1.0, (2.0, 0.5)), (1.0, 1.0, (1.0, 0.5)), (4.0, 0.1, (2.0, 0.1))):
        model.zero_grad()
        loss = (model.trunk.weight * trunk / 4).sum() + (model.cap.weight * cap / 4).sum()
        wrapper.backward(loss)
        wrapper.backward(0 * (model.trunk.bias.sum() + model.cap.bias.sum()))
        wrapper.step()
        assert (norm(model.trunk), norm(model.cap)) == pytest.approx(expected, rel=1e-4)
    scalars = wrapper.message_hub.log_scalars
    assert scalars['train/grad_norm'].current() == pytest.approx(4.0, rel=1e-4)
    assert scalars['train/grad_norm/cap'].current() == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(paramwise_cfg=dict(bias_lr_mult=2.0)), r"got \['bias_lr_mult'\]"),
        (dict(paramwise_cfg=dict(custom_keys={'cap.': dict(decay=0.0)})), r"got \['decay'\]"),
        (dict(clip_grad=None), 'needs optim_wrapper.clip_grad'),
        (dict(clip_grad=dict(type='value', clip_value=1.0)), 'needs optim_wrapper.clip_grad'),
        (dict(paramwise_cfg=dict(custom_keys={'cap.': dict(max_norm=1.0), 'cap.w': dict(max_norm=2.0)})), 'cap.weight'),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        build(Net(), **settings)
