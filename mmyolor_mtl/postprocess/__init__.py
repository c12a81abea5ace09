"""From a network's raw outputs to results in the space of the original picture, in numpy and OpenCV.

Functions and not methods of a model: the heads call them, exported networks call them without torch, and so can you.
Memory stays bounded whatever the size of the picture.
"""

from .masks import InstanceMasks, assemble_masks
from .panoptic import OVERLAP_RULE, REFERENCE_RULE, fuse_panoptic
from .placement import Placement
from .semantic import semantic_labels

__all__ = [
    'OVERLAP_RULE',
    'REFERENCE_RULE',
    'InstanceMasks',
    'Placement',
    'assemble_masks',
    'fuse_panoptic',
    'semantic_labels',
]
