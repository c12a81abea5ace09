"""What every task head offers to the multi-task shell."""

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.structures import DetDataSample
from mmengine.model import BaseModule
from torch import Tensor


class TaskHead(BaseModule, metaclass=ABCMeta):
    """Base of the heads of :class:`YOLORMTL`.

    A head knows its features and its own labels, never another head. What two heads must share (the assignment of
    anchors, the detections that survived NMS) passes through ``shared``, a dict that the shell hands from head to head.
    Where the shell has an auxiliary branch, ``shared['auxiliary']`` holds its features while training.

    Attributes:
        task: Name of the task: 'det', 'ins', 'sem', 'cap' or one of your own, in small letters: losses are named by it.
        source: Which features the head reads: 'neck' or 'backbone'.
        requires: Entries of ``shared`` that an earlier head must have left there.
        provides: Entries that this head leaves there.
    """

    task: str
    source: str = 'neck'
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, feats: Sequence[Tensor], shared: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Named raw outputs of the head; traceable, no decoding. ``shared`` holds those of the heads before it."""

    def context(self, feats: Sequence[Tensor]) -> dict[str, Tensor]:
        """What this head can tell other heads about features it has no loss on, by the names in ``provides``."""
        return {}

    def switch_to_deploy(self) -> None:
        """Drop what only training uses; the shell fuses convolutions and norms."""

    @abstractmethod
    def loss(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any]
    ) -> dict[str, Tensor]:
        """Losses over the samples of the batch that are labelled for this task."""

    @abstractmethod
    def predict(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any], rescale: bool = True
    ) -> None:
        """Write the predictions into ``data_samples``."""


def labelled_indices(data_samples: list[DetDataSample], task: str) -> list[int]:
    """Positions of the samples that carry labels for ``task``.

    A sample without the metainfo key ``labelled_tasks`` (as mmdet's own pipelines give it) counts as labelled.
    """
    return [i for i, sample in enumerate(data_samples) if task in sample.metainfo.get('labelled_tasks', (task,))]


def auxiliary_config(auxiliary: dict) -> tuple[Sequence[int], float]:
    """Channels of the auxiliary features and the weight of the auxiliary losses (0.25 as in REFERENCE_SPEC 3.3)."""
    unknown = sorted(set(auxiliary) - {'in_channels', 'loss_weight'})
    if unknown or 'in_channels' not in auxiliary:
        raise ValueError(f'auxiliary takes in_channels and optionally loss_weight, got {sorted(auxiliary)}')
    return auxiliary['in_channels'], auxiliary.get('loss_weight', 0.25)


def zero_loss(*tensors: Tensor) -> Tensor:
    """A zero that keeps every parameter behind ``tensors`` in the graph.

    A batch in which a task has no label must still touch the head's parameters, or DistributedDataParallel waits for
    their gradients for ever.
    """
    return sum(tensor.float().sum() * 0 for tensor in tensors)  # type: ignore[return-value]
