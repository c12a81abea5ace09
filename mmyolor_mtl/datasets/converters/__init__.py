"""Getting data ready: COCO 2017 from its archives, other formats to COCO's layout, splitting and merging."""

from .classes import ClassList
from .files import Findings
from .labelme import convert_labelme
from .merge import merge_coco
from .output import CocoWriter
from .prepare import PrepareSettings, missing_downloads, prepare_coco
from .split import split_coco
from .voc import convert_voc
from .yolo import convert_yolo

__all__ = [
    'ClassList',
    'CocoWriter',
    'Findings',
    'PrepareSettings',
    'convert_labelme',
    'convert_voc',
    'convert_yolo',
    'merge_coco',
    'missing_downloads',
    'prepare_coco',
    'split_coco',
]
