"""Metrics of the four tasks."""

from .metrics import CaptionMetric, PanopticMetric, SemanticMetric

__all__ = ['CaptionMetric', 'PanopticMetric', 'SemanticMetric']
