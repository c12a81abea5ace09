"""Data sets and their transforms."""

from . import transforms  # noqa: F401  (registers them)
from .coco_classes import COCO_METAINFO
from .coco_mtl import COCOMultiTaskDataset, ShapesDataset
from .label_space import TASKS, UNLABELLED, VISION_TASKS, semantic_lut
from .mixed import MixedDataset
from .samplers import MTLSampler, RatioSampler, Visit, seed_visit
from .shapes import SHAPES_METAINFO

__all__ = [
    'COCO_METAINFO',
    'SHAPES_METAINFO',
    'TASKS',
    'UNLABELLED',
    'VISION_TASKS',
    'COCOMultiTaskDataset',
    'MTLSampler',
    'MixedDataset',
    'RatioSampler',
    'ShapesDataset',
    'Visit',
    'seed_visit',
    'semantic_lut',
]
