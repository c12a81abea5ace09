"""Optimizer groups, mixed precision and schedules."""

from .constructor import MTLOptimWrapperConstructor
from .mixed_precision import MTLAmpOptimWrapper
from .warmup import GroupWarmupLR

__all__ = ['GroupWarmupLR', 'MTLAmpOptimWrapper', 'MTLOptimWrapperConstructor']
