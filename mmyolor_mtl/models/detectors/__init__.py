"""The multi-task shell, the same with a balance between the tasks, and its wrapper for several processes."""

from .balanced_yolor_mtl import BalancedYOLORMTL
from .distributed import MTLDistributedDataParallel
from .refused_tta import RefusedTTA
from .yolor_mtl import YOLORMTL

__all__ = ['BalancedYOLORMTL', 'MTLDistributedDataParallel', 'RefusedTTA', 'YOLORMTL']
