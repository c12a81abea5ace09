"""Losses of semantic logits against index maps: sigmoid focal, cross-entropy, soft dice (REFERENCE_SPEC 3.2).

The reference compares ``S`` dense logit maps with ``S`` dense multi-hot maps. Almost all of these are zeros, so its
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


def sum_per_class(values: Tensor, target: Tensor, valid: Tensor, num_classes: int) -> Tensor:
    """Sum ``values`` (B, L, H, W) over the valid labels of each class: (S,)."""
    index = target.where(valid, target.new_full((), num_classes)).flatten()
    return values.new_zeros(num_classes + 1).scatter_add(0, index, values.flatten())[:num_classes]


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
class IndexCrossEntropyLoss(nn.Module):
    """Softmax cross-entropy over the labelled pixels, in which rare classes may weigh more.

    A pixel of a class with ``n`` labels in the batch weighs ``n ** -balance``, and the loss is the weighted mean: with
    0 all pixels count alike (torch's ``cross_entropy``), with 1 all classes do. Where scenes are mostly ground and
    sky, a short training without balance learns the few large classes alone. Layers of a multi-label target (mixup)
    count as pixels of their own; unlabelled pixels are left out.

    Args:
        balance: Exponent, 0 to 1.
        loss_weight: Gain of the term.

    Raises:
        ValueError: If ``balance`` is out of its range.

    Shapes:
        logits (B, S, H, W), target (B, L, H, W) -> scalar
    """

    def __init__(self, balance: float = 0.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= balance <= 1:
            raise ValueError(f'balance must lie between 0 and 1, got {balance}')
        self.balance = balance
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Weighted mean over the labels; zero where there is none."""
        _check(logits, target)
        logits = logits.float()
        picked, valid = gather_labelled(logits, target)
        loss = logits.logsumexp(dim=1, keepdim=True) - picked
        counts = sum_per_class(valid.float(), target, valid, logits.shape[1])
        weight = counts.clamp(min=1) ** -self.balance
        weight = weight[target.where(valid, torch.zeros_like(target))] * valid
        return self.loss_weight * (loss * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)


@MODELS.register_module()
class IndexDiceLoss(nn.Module):
    """Soft dice between the softmax over classes and the labels.

    ``1 - (2 * sum(p * g) + 1) / (sum(p) + sum(g) + 1)``. As in the reference, the sums run over the whole batch and all
    classes: the softmax sums to one at each pixel, so ``sum(p)`` is the number of pixels, and unlabelled pixels only
    enlarge the denominator. With ``per_class`` there is one ratio for each class that the batch has labels of, over
    the labelled pixels, and the loss is their mean: small classes then count as much as large ones.

    Args:
        per_class: One ratio a class instead of one for all.
        loss_weight: Gain of the term (0.5 * 2.5 = 1.25 in the reference).

    Shapes:
        logits (B, S, H, W), target (B, L, H, W) -> scalar
    """

    def __init__(self, per_class: bool = False, loss_weight: float = 1.25) -> None:
        super().__init__()
        self.per_class = per_class
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Dice loss of the batch."""
        _check(logits, target)
        dice = self._per_class if self.per_class else self._overall
        return self.loss_weight * dice(logits.float(), target)

    @staticmethod
    def _overall(logits: Tensor, target: Tensor) -> Tensor:
        """Softmax at the labelled entries through one logsumexp."""
        picked, valid = gather_labelled(logits, target)
        probability = torch.exp(picked - logits.logsumexp(dim=1, keepdim=True))
        intersection = (probability * valid).sum()
        pixels = logits.numel() / logits.shape[1]
        return 1 - (2 * intersection + 1) / (pixels + valid.sum() + 1)

    @staticmethod
    def _per_class(logits: Tensor, target: Tensor) -> Tensor:
        """Mean over the classes that have labels; zero where there are none."""
        probability = logits.softmax(dim=1)
        picked, valid = gather_labelled(probability, target)
        num_classes = logits.shape[1]
        intersection = sum_per_class(picked * valid, target, valid, num_classes)
        labelled = sum_per_class(valid.float(), target, valid, num_classes)
        predicted = (probability * valid.any(dim=1, keepdim=True)).sum(dim=(0, 2, 3))
        present = labelled > 0
        losses = 1 - (2 * intersection + 1) / (predicted + labelled + 1)
        return (losses * present).sum() / present.sum().clamp(min=1)
