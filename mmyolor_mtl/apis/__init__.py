"""Run trained networks from Python."""

from mmyolor_mtl.structures import MTLResult, PanopticSegment

from .inferencer import MTLInferencer

__all__ = ['MTLInferencer', 'MTLResult', 'PanopticSegment']
