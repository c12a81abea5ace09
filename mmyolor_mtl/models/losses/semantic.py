"""Losses of semantic logits against index maps: sigmoid focal, cross-entropy, soft dice (REFERENCE_SPEC 3.2).

The reference compares ``S`` dense logit maps with ``S`` dense multi-hot maps. Almost all of these are zeros, so its
terms split into a part over all logits that needs no target, and a part over the labelled pixels that needs one logit
a pixel: no multi-hot map is built. The two terms of the reference write down their gradient in the same pass. All terms
are over the batch of all processes; a process without labels takes part with an empty batch.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from torch import Tensor, nn

from ...registry import MODELS
from .across_processes import sum_over_processes, total_over_processes
from .value_and_gradient import with_gradient

UNLABELLED = 255
# Logits in work at a time: what fits the cache of a CPU core; a GPU wants large pieces.
CHUNK = {'cpu': 2**18}
CHUNK_ELSEWHERE = 2**25


def labelled_entries(target: Tensor) -> tuple[Tensor, Tensor]:
    """Where the labels of a target stand among the logits.

    Args:
        target: (B, L, H, W) int64 class ids; L layers of labels a pixel, ``UNLABELLED`` where a layer has none.

    Returns:
        ``(index, valid)``, both (B, L, H, W): class ids, 0 where there is no label, and whether there is one. A class
        that two layers give the same pixel counts once.
    """
    valid = target != UNLABELLED
    for layer in range(1, target.shape[1]):
        duplicate = (target[:, :layer] == target[:, layer : layer + 1]).any(dim=1)
        valid[:, layer] &= ~duplicate
    return target.where(valid, torch.zeros_like(target)), valid


def sum_per_class(values: Tensor, index: Tensor, num_classes: int) -> Tensor:
    """Sum ``values`` (B, L, H, W), zero where there is no label, over the entries of each class: (S,)."""
    return values.new_zeros(num_classes).scatter_add(0, index.flatten(), values.flatten())


def row_chunks(logits: Tensor) -> Iterator[tuple[int, slice]]:
    """Images and blocks of rows of (B, S, H, W) that hold about ``CHUNK`` logits each."""
    batch, classes, height, width = logits.shape
    rows = max(1, CHUNK.get(logits.device.type, CHUNK_ELSEWHERE) // max(classes * width, 1))
    for image in range(batch):
        for first in range(0, height, rows):
            yield image, slice(first, min(first + rows, height))


def _check(logits: Tensor, target: Tensor) -> None:
    if logits.shape[0] != target.shape[0] or logits.shape[2:] != target.shape[2:]:
        raise ValueError(
            f'semantic logits {tuple(logits.shape)} and target {tuple(target.shape)} differ in batch or size; '
            'sem_stride of PackMTLInputs must be the out_stride of the semantic head'
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
        with torch.no_grad():
            number = sum_over_processes(torch.tensor(float(logits.numel()), device=logits.device)).clamp(min=1)
            scale = self.loss_weight * get_world_size() / number
            index, valid = labelled_entries(target)
            picked = logits.gather(1, index).float()
            negative, negative_slope = self._negative(picked)
            positive, positive_slope = self._positive(picked)
            total = ((positive - negative) * valid).sum()
            gradient = torch.empty_like(logits, dtype=torch.float32)
            for image, rows in row_chunks(logits):
                value, slope = self._negative(logits[image, :, rows].float())
                total += value.sum()
                torch.mul(slope, scale, out=gradient[image, :, rows])
            change = (positive_slope - negative_slope) * valid * scale
            gradient.scatter_add_(1, index, change)
        return with_gradient(total * scale, (logits,), (gradient,))

    def _negative(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of logits that should be low, and its derivative."""
        probability, cost = torch.sigmoid(x), F.softplus(x)
        weight = (1 - self.alpha) * probability**self.gamma
        return weight * cost, weight * (probability + self.gamma * (1 - probability) * cost)

    def _positive(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of logits that should be high, and its derivative."""
        probability, cost = torch.sigmoid(-x), F.softplus(-x)
        weight = self.alpha * probability**self.gamma
        return weight * cost, -weight * (probability + self.gamma * (1 - probability) * cost)


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
        index, valid = labelled_entries(target)
        loss = logits.logsumexp(dim=1, keepdim=True) - logits.gather(1, index)
        count = sum_over_processes(sum_per_class(valid.float(), index, logits.shape[1]))
        weight = count.clamp(min=1)[index] ** -self.balance * valid
        whole = sum_over_processes(weight.sum()).clamp(min=torch.finfo(weight.dtype).tiny)
        return self.loss_weight * total_over_processes((loss * weight).sum()) / whole


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
        if self.per_class:
            return self.loss_weight * self._per_class(logits.float(), target)
        return self._overall(logits, target)

    def _overall(self, logits: Tensor, target: Tensor) -> Tensor:
        """Softmax in chunks; only its entries at the labels count, and what they take from the others."""
        with torch.no_grad():
            index, valid = labelled_entries(target)
            pixels = logits.numel() // logits.shape[1]
            total = sum_over_processes(pixels + valid.sum().float()) + 1
            # The mean over the processes will be taken of the gradient.
            scale = 2 * self.loss_weight * get_world_size() / total
            intersection = torch.zeros((), device=logits.device)
            gradient = torch.empty_like(logits, dtype=torch.float32)
            for image, rows in row_chunks(logits):
                probability = logits[image, :, rows].float().softmax(dim=0)
                labelled = probability.gather(0, index[image, :, rows]) * valid[image, :, rows]
                intersection += labelled.sum()
                slope = gradient[image, :, rows]
                torch.mul(probability, labelled.sum(dim=0) * scale, out=slope)
                slope.scatter_add_(0, index[image, :, rows], labelled * -scale)
            value = self.loss_weight * (1 - (2 * sum_over_processes(intersection) + 1) / total)
        return with_gradient(value, (logits,), (gradient,))

    @staticmethod
    def _per_class(logits: Tensor, target: Tensor) -> Tensor:
        """Mean over the classes that have labels; zero where there are none."""
        probability = logits.softmax(dim=1)
        index, valid = labelled_entries(target)
        num_classes = logits.shape[1]
        intersection = sum_per_class(probability.gather(1, index) * valid, index, num_classes)
        labelled = sum_per_class(valid.float(), index, num_classes)
        predicted = (probability * valid.any(dim=1, keepdim=True)).sum(dim=(0, 2, 3))
        intersection, labelled, predicted = total_over_processes(torch.stack([intersection, labelled, predicted]))
        present = labelled > 0
        losses = 1 - (2 * intersection + 1) / (predicted + labelled + 1)
        return (losses * present).sum() / present.sum().clamp(min=1)
