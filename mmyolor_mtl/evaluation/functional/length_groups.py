"""Scores of captions by their length."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def group_by_length(lengths: np.ndarray, values: Mapping[str, np.ndarray], most: int = 5) -> list[dict[str, Any]]:
    """Mean values of captions of similar length.

    Args:
        lengths (np.ndarray): (N,) int, words of each caption.
        values (Mapping[str, np.ndarray]): Name and (N,) values to average.
        most (int): Number of groups at most; they are about equally large.

    Returns:
        list[dict]: From short to long: ``shortest`` and ``longest`` (words), ``captions`` (how many), and the means.
    """
    if not len(lengths):
        return []
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, most + 1)[1:], method='lower'))
    groups = np.searchsorted(edges, lengths)
    found = []
    for group in np.unique(groups):
        chosen = groups == group
        row = {'shortest': int(lengths[chosen].min()), 'longest': int(lengths[chosen].max())}
        row |= {'captions': int(chosen.sum())}
        found.append(row | {name: float(value[chosen].mean()) for name, value in values.items()})
    return found
