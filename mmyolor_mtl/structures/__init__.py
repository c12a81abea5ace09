"""Plain typed results and run-length masks. Nothing here imports torch: exported networks use it without."""

from .results import MTLResult
from .rle import Rle, decode_rle, encode_mask, encode_window
from .segments import INSTANCE_OFFSET, PanopticSegment

__all__ = [
    'INSTANCE_OFFSET',
    'MTLResult',
    'PanopticSegment',
    'Rle',
    'decode_rle',
    'encode_mask',
    'encode_window',
]
