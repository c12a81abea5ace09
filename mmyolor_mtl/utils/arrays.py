"""Arrays of whatever holds numbers."""

from typing import Any

import numpy as np


def to_numpy(values: Any) -> np.ndarray:
    """Array of a tensor on any device, of mmdet's box and mask containers, or of anything array-like."""
    if hasattr(values, 'to_ndarray'):
        return values.to_ndarray()
    values = getattr(values, 'tensor', values)
    return values.detach().cpu().numpy() if hasattr(values, 'detach') else np.asarray(values)
