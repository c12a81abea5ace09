from .yolor_mtl import YOLORMTL

__all__ = ['YOLORMTL']
