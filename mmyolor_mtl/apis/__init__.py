"""Run trained networks from Python."""

from .inferencer import MTLInferencer
from .results import MTLResult, PanopticSegment

__all__ = ['MTLInferencer', 'MTLResult', 'PanopticSegment']
