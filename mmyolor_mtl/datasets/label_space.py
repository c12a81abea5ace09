"""What can be labelled, and how semantic maps number it."""

from collections.abc import Mapping

import numpy as np

TASKS = ('det', 'ins', 'sem', 'cap')
VISION_TASKS = ('det', 'ins', 'sem')
UNLABELLED = 255
FOREIGN = 254  # stands for a value of a semantic map that belongs to no class


def semantic_lut(metainfo: Mapping) -> np.ndarray:
    """Table from values of a semantic PNG (category id - 1, 255 = unlabelled) to contiguous ids.

    Args:
        metainfo (Mapping): With ``thing_ids`` and ``stuff_ids``.

    Returns:
        np.ndarray: (256,) uint8: things first, then stuff; 255 stays, ids of no class become ``FOREIGN``. The id after
        the last stuff id becomes the first of ``extra_classes``, if there are any (COCO: 183, *other*).
    """
    lut = np.full(256, FOREIGN, dtype=np.uint8)
    lut[UNLABELLED] = UNLABELLED
    ids = [*metainfo['thing_ids'], *metainfo['stuff_ids']]
    if metainfo.get('extra_classes') and ids:
        ids.append(max(ids) + 1)
    lut[np.asarray(ids, dtype=np.int64) - 1] = np.arange(len(ids), dtype=np.uint8)
    return lut
