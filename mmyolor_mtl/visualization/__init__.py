"""Pictures of samples and predictions."""

from .mtl_visualizer import MTLLocalVisualizer

__all__ = ['MTLLocalVisualizer']
