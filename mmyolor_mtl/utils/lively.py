"""Random weights that behave like trained ones, for tests and benchmarks of what stands behind a network."""

from typing import Any

import torch
from torch import Tensor, nn

# Spread of the class logits. As in a trained network most anchors then stay below any threshold.
_LOGIT_SPREAD = 5.0
_WORD_SPREAD = 4.0
# How fast the bins of a box's side become unlikely: sides are then two or three cells long.
_BIN_DECAY = 0.5
# Scale of the batch norms. At 1 a hundred random layers are chaotic: rounding alone changes what comes out.
_NORM_SCALE = 0.3


@torch.no_grad()
def make_lively(model: Any, inputs: Tensor, objects: int = 20) -> None:
    """Change the weights of an untrained network, in place, so that it finds something in every picture.

    Fresh weights hardly see the picture: all anchors get one score, and all pixels one class. Here batch norms take
    the statistics of some pictures, and other pictures should resemble them; the class logits are spread, with a few anchors a picture above a probability of
    0.5; every semantic class is the likeliest somewhere; and words differ in probability.

    Args:
        model (YOLORMTL): The network, not in its deploy form.
        inputs (Tensor): (B, 3, H, W) pictures as the network takes them.
        objects (int): Anchors a picture that get a score above 0.5.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all that is seen
        nn.init.constant_(norm.weight, _NORM_SCALE)
    model.train()
    model(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
    outputs = model(inputs)
    if 'det' in model.heads:
        _spread_classes(model.heads['det'], outputs['cls_logits'], objects * len(inputs))
    if 'sem' in model.heads:
        classifier = model.heads['sem'].main.classifier
        classifier.bias -= outputs['sem_logits'].mean((0, 2, 3))
    if 'cap' in model.heads:
        output = model.heads['cap'].decoder.output
        words = output[-1] if isinstance(output, nn.Sequential) else output
        words.weight *= _WORD_SPREAD / outputs['cap_logits'].std()


def _spread_classes(head: Any, logits: Tensor, above: int) -> None:
    factor = _LOGIT_SPREAD / logits.std()
    best = logits.amax(-1).flatten() * factor
    cut = best.topk(min(above, len(best))).values[-1]
    for branches in (head.main, head.one_to_one):
        for branch in () if branches is None else branches.cls_branches:
            predictor = branch.predictor
            predictor.weight *= factor
            predictor.bias.mul_(factor).sub_(cut)
        for branch in () if branches is None else branches.box_branches:
            branch.predictor.bias -= _BIN_DECAY * torch.arange(head.reg_max).repeat(4)
