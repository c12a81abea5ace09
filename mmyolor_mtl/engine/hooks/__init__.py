"""Hooks of the runner."""

from .eval_table_hook import EvalTableHook
from .progress_hook import MTLProgressHook
from .self_critical_hook import SelfCriticalHook
from .tokenizer_meta_hook import TokenizerMetaHook

__all__ = ['EvalTableHook', 'MTLProgressHook', 'SelfCriticalHook', 'TokenizerMetaHook']
