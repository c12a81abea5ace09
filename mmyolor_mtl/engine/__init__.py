"""Extensions of the training engine."""

from .hooks import EvalTableHook, MTLProgressHook, TokenizerMetaHook

__all__ = ['EvalTableHook', 'MTLProgressHook', 'TokenizerMetaHook']
