"""Run trained networks from Python."""

from mmyolor_mtl.structures import MTLResult, PanopticSegment

from .images import LoadedImage
from .inferencer import MTLInferencer
from .sources import VideoSource

__all__ = ['LoadedImage', 'MTLInferencer', 'MTLResult', 'PanopticSegment', 'VideoSource']
