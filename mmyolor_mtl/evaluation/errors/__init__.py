"""Where a network errs: every task judged image by image, for the tasks that the image carries labels of."""

from .analysis import TASKS, ErrorAnalysis
from .common import ImageScore

__all__ = ['TASKS', 'ErrorAnalysis', 'ImageScore']
