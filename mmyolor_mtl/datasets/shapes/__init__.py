"""Shapes, the embedded data set: seeded scenes in COCO's formats, with ground truth for all four tasks.

The modules here need numpy, OpenCV and pycocotools; none of them uses torch.
"""

from .captions import write_captions
from .classes import COLOURS, SHAPES_METAINFO, STUFF, THINGS
from .labels import describe, semantic_map
from .scene import Scene, Segment, generate_scene
from .writer import write_shapes

__all__ = [
    'COLOURS',
    'SHAPES_METAINFO',
    'STUFF',
    'THINGS',
    'Scene',
    'Segment',
    'describe',
    'generate_scene',
    'semantic_map',
    'write_captions',
    'write_shapes',
]
