"""Optimizer groups, mixed precision and schedules."""

from .alternating import AlternatingOptimWrapperConstructor
from .constructor import MTLOptimWrapperConstructor
from .mixed_precision import MTLAmpOptimWrapper
from .warmup import GroupWarmupLR

__all__ = ['AlternatingOptimWrapperConstructor', 'GroupWarmupLR', 'MTLAmpOptimWrapper', 'MTLOptimWrapperConstructor']
