"""Shapes, the embedded data set: seeded scenes in COCO's formats, with ground truth for all four tasks."""

from .classes import COLOURS, SHAPES_METAINFO, STUFF, THINGS

__all__ = ['COLOURS', 'SHAPES_METAINFO', 'STUFF', 'THINGS']
