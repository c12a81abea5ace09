"""Checks of annotation and image files before training: one error that names files, ids and what to do."""

from .files import CHECK_LEVELS, check_files, image_fault, is_truncated, read_semantic_map, semantic_map_fault
from .panoptic import check_panoptic, check_panoptic_maps
from .problems import Problems
from .records import check_captions, check_instances, read_annotation_file

__all__ = [
    'CHECK_LEVELS',
    'Problems',
    'check_captions',
    'check_files',
    'check_instances',
    'check_panoptic',
    'check_panoptic_maps',
    'image_fault',
    'is_truncated',
    'read_annotation_file',
    'read_semantic_map',
    'semantic_map_fault',
]
