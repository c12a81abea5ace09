"""Extensions of the training engine."""

from .hooks import EvalTableHook, MTLProgressHook, TokenizerMetaHook
from .optimizers import MTLOptimWrapperConstructor

__all__ = ['EvalTableHook', 'MTLOptimWrapperConstructor', 'MTLProgressHook', 'TokenizerMetaHook']
