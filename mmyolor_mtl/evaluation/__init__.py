"""Metrics of the four tasks, and functions that score files."""

from .map_files import score_stuff_files
from .metrics import CaptionMetric, DetectionMetric, DumpMTLResults, PanopticMetric, SemanticMetric
from .panoptic_files import score_panoptic_files

__all__ = [
    'CaptionMetric',
    'DetectionMetric',
    'DumpMTLResults',
    'PanopticMetric',
    'SemanticMetric',
    'score_panoptic_files',
    'score_stuff_files',
]
