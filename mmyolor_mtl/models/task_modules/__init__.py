"""Assignment of anchors to objects, and the coding of boxes."""

from .batched_tal import Assignment, BatchedTaskAlignedAssigner
from .box_coder import anchor_points, boxes_to_distances, distances_to_boxes

__all__ = ['Assignment', 'BatchedTaskAlignedAssigner', 'anchor_points', 'boxes_to_distances', 'distances_to_boxes']
