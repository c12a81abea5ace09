"""Sigmoid-focal and soft-dice losses on index maps (REFERENCE_SPEC 3.2).

The reference compares ``S`` dense logit maps with ``S`` dense multi-hot maps. Almost all of these are zeros, so both
terms split into a part over all logits that needs no target, and a part over the labelled pixels that needs one logit
a pixel: no multi-hot map is built and softmax is only ever evaluated at the labels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MODELS

UNLABELLED = 255


def gather_labelled(values: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Pick the entries of ``values`` that the index maps name.

    Args:
        values: (B, S, H, W).
        target: (B, L, H, W) int64 class ids; L layers of labels a pixel, ``UNLABELLED`` where a layer has none.

    Returns:
        ``(picked, valid)``, both (B, L, H, W). A class that two layers give the same pixel counts once.
    """
    valid = target != UNLABELLED
    for layer in range(1, target.shape[1]):
        duplicate = (target[:, :layer] == target[:, layer : layer + 1]).any(dim=1)
        valid[:, layer] &= ~duplicate
    return values.gather(1, target.where(valid, torch.zeros_like(target))), valid


def _check(logits: Tensor, target: Tensor) -> None:
    if logits.shape[0] != target.shape[0] or logits.shape[2:] != target.shape[2:]:
        raise ValueError(
            f'semantic logits {tuple(logits.shape)} and target {tuple(target.shape)} differ in batch or size; '
            'the pipeline must rasterise the target at the resolution of the logits (PackMTLInputs, mask_stride)'
        )


@MODELS.register_module()
class IndexFocalLoss(nn.Module):
    """Sigmoid focal loss over all pixels and classes, mean over B*H*W*S.

    Equals mmdet's ``FocalLoss`` on the multi-hot map of the target. Unlabelled pixels are negatives for every class.

    Args:
        alpha: Weight of the positives; the negatives get ``1 - alpha``.
        gamma: Focusing exponent, >= 0.
        loss_weight: Gain of the term (20 / 2 * 2.5 = 25 in the reference).

    Shapes:
        logits (B, S, H, W), target (B, L, H, W) -> scalar
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, loss_weight: float = 25.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """All logits as negatives, then the labelled ones exchanged for positives."""
        _check(logits, target)
        logits = logits.float()
        total = self._negative(logits).sum()
        picked, valid = gather_labelled(logits, target)
        positive = self.alpha * F.softplus(-picked) * torch.sigmoid(-picked) ** self.gamma
        total = total + ((positive - self._negative(picked)) * valid).sum()
        return self.loss_weight * total / logits.numel()

    def _negative(self, logits: Tensor) -> Tensor:
        return (1 - self.alpha) * F.softplus(logits) * torch.sigmoid(logits) ** self.gamma


@MODELS.register_module()
class IndexDiceLoss(nn.Module):
    """Soft dice between the softmax over classes and the labels, one ratio for the whole batch.

    ``1 - (2 * sum(p * g) + 1) / (sum(p) + sum(g) + 1)``; the softmax sums to one at each pixel, so ``sum(p)`` is the
    number of pixels. Unlabelled pixels only enlarge the denominator.

    Args:
        loss_weight: Gain of the term (0.5 * 2.5 = 1.25 in the reference).

    Shapes:
        logits (B, S, H, W), target (B, L, H, W) -> scalar
    """

    def __init__(self, loss_weight: float = 1.25) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Softmax at the labelled entries through one logsumexp."""
        _check(logits, target)
        logits = logits.float()
        picked, valid = gather_labelled(logits, target)
        probability = torch.exp(picked - logits.logsumexp(dim=1, keepdim=True))
        intersection = (probability * valid).sum()
        pixels = logits.numel() / logits.shape[1]
        return self.loss_weight * (1 - (2 * intersection + 1) / (pixels + valid.sum() + 1))
