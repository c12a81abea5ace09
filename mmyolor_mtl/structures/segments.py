"""Names of classes, and the segments of a panoptic map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# A panoptic id is class + INSTANCE_OFFSET * number of the instance, as in mmdet.
INSTANCE_OFFSET = 1000


@dataclass
class PanopticSegment:
    """One segment of the panoptic map.

    Attributes:
        id (int): Its value in the map: contiguous class id + 1000 * number of the instance (0 for stuff).
        label (int): Contiguous class id.
        class_name (str): Name of the class.
        is_thing (bool): Whether it is a countable object.
        area (int): Pixels.
    """

    id: int
    label: int
    class_name: str
    is_thing: bool
    area: int


def list_segments(panoptic: np.ndarray, dataset_meta: Mapping[str, Any]) -> list[PanopticSegment]:
    """The segments of a map (H,W) by rising id, void left out."""
    names, void = class_names_of(dataset_meta), void_value(dataset_meta)
    num_things = len(dataset_meta.get('classes') or ())
    ids, areas = np.unique(panoptic, return_counts=True)
    segments = []
    for number, area in zip(ids.tolist(), areas.tolist(), strict=True):
        label = number % INSTANCE_OFFSET
        if number != void:
            segments.append(PanopticSegment(number, label, name_of(names, label), label < num_things, area))
    return segments


def class_names_of(dataset_meta: Mapping[str, Any]) -> list[str]:
    """Names of all semantic classes in the order of their ids."""
    return [n for key in ('classes', 'stuff_classes', 'extra_classes') for n in dataset_meta.get(key) or ()]


def void_value(dataset_meta: Mapping[str, Any]) -> int:
    """Value of void pixels in panoptic maps: the number of classes that are evaluated."""
    return sum(len(dataset_meta.get(key) or ()) for key in ('classes', 'stuff_classes'))


def name_of(names: Sequence[str], label: int) -> str:
    """Name of a class, also of one that the data set does not name."""
    return names[label] if label < len(names) else f'class {label}'
