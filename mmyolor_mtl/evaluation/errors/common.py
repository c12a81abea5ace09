"""What the tasks share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmdet.structures import DetDataSample

from ..functional.semantic_errors import most_confused


@dataclass
class ImageScore:
    """How well one image went in one task.

    Attributes:
        index: Number of the image in the data set.
        score: The better the higher.
        note: What is wrong, for people.
        errors: How many errors there are, where they can be counted; of equal scores the one with more is worse.
    """

    index: int
    score: float
    note: str
    errors: int = 0


class TaskErrors(ABC):
    """Errors of one task."""

    @abstractmethod
    def add(self, index: int, sample: DetDataSample) -> None:
        """Judge a sample, if it carries labels of the task and the network predicts it."""

    @abstractmethod
    def scores(self) -> list[ImageScore]:
        """Every image that was judged."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """What went wrong in all images together, ready for JSON; needs at least one."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of images judged."""

    def worst(self, number: int) -> list[ImageScore]:
        """Images with the lowest scores, worst first."""
        scores = [one for one in self.scores() if not np.isnan(one.score)]
        return sorted(scores, key=lambda one: (one.score, -one.errors, one.index))[:number]


def is_labelled(sample: DetDataSample, task: str) -> bool:
    """Whether a sample carries labels of a task, by its ``labelled_tasks``; without these it may."""
    tasks = sample.get('labelled_tasks', None)
    return tasks is None or task in tasks


def confused_pairs(
    confusion: np.ndarray, true_names: Sequence[str], predicted_names: Sequence[str], number: int
) -> list[dict[str, Any]]:
    """The most confused classes by name: ``true``, ``predicted``, ``count``, ``share_of_true`` (of the row's sum)."""
    true = confusion.sum(axis=1)
    return [
        {
            'true': true_names[row],
            'predicted': predicted_names[column],
            'count': count,
            'share_of_true': ratio(count, true[row]),
        }
        for row, column, count in most_confused(confusion, number)
    ]


def ratio(part: float, whole: float) -> float:
    """``part / whole``, 0 where there is nothing."""
    return float(part / whole) if whole else 0.0
