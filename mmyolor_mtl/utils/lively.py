"""Random weights that behave like trained ones, for tests and benchmarks of what stands behind a network."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

# Spread of the class logits: wide enough for weak anchors, narrow enough for probabilities that differ.
_LOGIT_SPREAD = 2.5
_WORD_SPREAD = 4.0
_MEMORY_SPREAD = 10.0
# Standard deviation of what a batch norm puts out. At 1 a hundred SiLUs blow up the differences between pictures; where
# they are small, SiLU is nearly linear.
_NORM_SCALE = 0.1
# How fast the bins of a box's side become unlikely: sides are then two or three cells long.
_BIN_DECAY = 0.5


@torch.no_grad()
def make_lively(model: Any, inputs: Tensor, objects: int = 20) -> None:
    """Change the weights of an untrained network, in place, so that it finds something in every picture.

    Fresh weights hardly see the picture: all anchors get one score, and all pixels one class. Here all layers put out
    about as much; the class logits are spread, with some anchors of each picture above a probability of 0.5; many
    semantic classes are the likeliest somewhere; words differ in probability, and from picture to picture.

    Args:
        model (YOLORMTL): The network, not in its deploy form.
        inputs (Tensor): (B, 3, H, W) pictures as the network takes them.
        objects (int): Anchors a picture, at least, that get a score above 0.5.
    """
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(_keep_size) for norm in norms]
    if 'cap' in model.heads:
        projections = getattr(model.heads['cap'], 'projections', ())
        hooks += [projection.register_forward_pre_hook(_enlarge) for projection in projections]
    model(inputs)
    for hook in hooks:
        hook.remove()
    outputs = model(inputs)
    if 'det' in model.heads:
        _spread_classes(model.heads['det'], outputs['cls_logits'], inputs.shape[2:], objects)
    if 'sem' in model.heads:
        classifier = model.heads['sem'].main.classifier
        classifier.bias -= outputs['sem_logits'].mean((0, 2, 3))
    if 'cap' in model.heads:
        output = model.heads['cap'].decoder.output
        words = output[-1] if isinstance(output, nn.Sequential) else output
        words.weight *= _WORD_SPREAD / outputs['cap_logits'].std()


def _keep_size(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    """Scale a layer so that all layers put out about as much.

    Statistics for each channel, as training would find them, make a hundred random layers chaotic: rounding alone then
    changes what comes out, and pictures unlike the first ones drive it out of all bounds.
    """
    norm.reset_running_stats()
    nn.init.constant_(norm.weight, _NORM_SCALE / float(inputs[0].std().clamp(min=1e-6)))


def _enlarge(projection: nn.Conv2d, inputs: tuple[Tensor]) -> None:
    """Let the memory of the captions differ more from place to place than its positions do."""
    projection.weight *= _MEMORY_SPREAD / float(inputs[0].std().clamp(min=1e-6))


def _spread_classes(head: Any, logits: Tensor, size: Sequence[int], objects: int) -> None:
    """Give every class the same mean on every level, then all logits a common spread and a common cut."""
    cells = [(size[0] // stride) * (size[1] // stride) for stride in head.strides]
    levels = logits.split(cells, dim=1)
    means = [level.mean((0, 1)) for level in levels]
    centred = torch.cat([level - mean for level, mean in zip(levels, means, strict=True)], dim=1)
    factor = _LOGIT_SPREAD / centred.std()
    best = centred.amax(-1) * factor
    cut = best.topk(min(objects, best.shape[1]), dim=1).values[:, -1].min()
    for branches in (head.main, head.one_to_one):
        if branches is None:
            continue
        for cls, box, mean in zip(branches.cls_branches, branches.box_branches, means, strict=True):
            cls.predictor.weight *= factor
            cls.predictor.bias.sub_(mean).mul_(factor).sub_(cut)
            box.predictor.bias -= _BIN_DECAY * torch.arange(head.reg_max).repeat(4)
