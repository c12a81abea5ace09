"""Hooks of the runner."""

from .eval_table_hook import EvalTableHook
from .progress_hook import MTLProgressHook
from .tokenizer_meta_hook import TokenizerMetaHook

__all__ = ['EvalTableHook', 'MTLProgressHook', 'TokenizerMetaHook']
