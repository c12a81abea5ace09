"""Hooks of the runner."""

from .channels_last_hook import ChannelsLastHook
from .checkpoint_hook import MTLCheckpointHook
from .compile_hook import CompileHook
from .eval_table_hook import EvalTableHook
from .freeze_hook import FreezeHook
from .grad_conflict_hook import GradConflictHook
from .nominal_batch_hook import NominalBatchHook
from .nonfinite_guard_hook import NonFiniteGuardHook
from .progress_hook import MTLProgressHook
from .self_critical_hook import SelfCriticalHook
from .tokenizer_meta_hook import TokenizerMetaHook

__all__ = [
    'ChannelsLastHook',
    'CompileHook',
    'EvalTableHook',
    'FreezeHook',
    'GradConflictHook',
    'MTLCheckpointHook',
    'MTLProgressHook',
    'NominalBatchHook',
    'NonFiniteGuardHook',
    'SelfCriticalHook',
    'TokenizerMetaHook',
]
