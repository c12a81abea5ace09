"""One head a task; none knows the others."""

from .base_caption_head import BaseCaptionHead
from .base_head import TaskHead
from .caption_head import CaptionHead
from .detection_head import YOLORDetectionHead
from .mask_head import YOLORMaskHead
from .region_caption_head import RegionCaptionHead
from .semantic_head import YOLORSemanticHead

__all__ = [
    'BaseCaptionHead',
    'CaptionHead',
    'RegionCaptionHead',
    'TaskHead',
    'YOLORDetectionHead',
    'YOLORMaskHead',
    'YOLORSemanticHead',
]
