"""Hooks of the runner."""

from .checkpoint_hook import MTLCheckpointHook
from .eval_table_hook import EvalTableHook
from .nonfinite_guard_hook import NonFiniteGuardHook
from .progress_hook import MTLProgressHook
from .self_critical_hook import SelfCriticalHook
from .tokenizer_meta_hook import TokenizerMetaHook

__all__ = [
    'EvalTableHook',
    'MTLCheckpointHook',
    'MTLProgressHook',
    'NonFiniteGuardHook',
    'SelfCriticalHook',
    'TokenizerMetaHook',
]
