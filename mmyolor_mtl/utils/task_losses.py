"""Which task a loss belongs to: the second word of its name, as in ``loss_det_cls``."""

import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile('loss_([a-z]+)_')


def task_of_loss(name: str) -> str | None:
    """Task of an entry among losses; None for one that is no loss of a task, such as their sum ``loss``.

    Examples:
        >>> task_of_loss('loss_det_cls'), task_of_loss('loss')
        ('det', None)
    """
    found = _NAME.match(name)
    return None if found is None else found[1]


def sum_by_task(losses: Mapping[str, Any]) -> dict[str, Any]:
    """Sum of the losses of each task, in the order in which the tasks appear.

    Examples:
        >>> sum_by_task({'loss': 6, 'loss_det_cls': 1, 'loss_sem_dice': 2, 'loss_det_bbox': 3})
        {'det': 4, 'sem': 2}
    """
    sums: dict[str, Any] = {}
    for name, value in losses.items():
        task = task_of_loss(name)
        if task is not None:
            sums[task] = sums.get(task, 0) + value
    return sums
