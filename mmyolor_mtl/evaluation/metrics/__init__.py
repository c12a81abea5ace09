"""One metric class for each task."""

from .caption_metric import CaptionMetric
from .detection_metric import DetectionMetric
from .dump_results import DumpMTLResults
from .panoptic_metric import PanopticMetric
from .semantic_metric import SemanticMetric

__all__ = ['CaptionMetric', 'DetectionMetric', 'DumpMTLResults', 'PanopticMetric', 'SemanticMetric']
