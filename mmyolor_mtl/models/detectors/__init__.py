from .distributed import MTLDistributedDataParallel
from .yolor_mtl import YOLORMTL

__all__ = ['YOLORMTL', 'MTLDistributedDataParallel']
