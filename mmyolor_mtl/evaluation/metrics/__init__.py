"""One metric class for each task."""

from .caption_metric import CaptionMetric
from .panoptic_metric import PanopticMetric
from .semantic_metric import SemanticMetric

__all__ = ['CaptionMetric', 'PanopticMetric', 'SemanticMetric']
