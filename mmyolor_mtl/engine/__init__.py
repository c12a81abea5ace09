"""Extensions of the training engine."""

from .hooks import (
    EvalTableHook,
    MTLCheckpointHook,
    MTLProgressHook,
    NonFiniteGuardHook,
    SelfCriticalHook,
    TokenizerMetaHook,
)
from .runner import ResumableEpochLoop, dry_run

__all__ = [
    'EvalTableHook',
    'MTLCheckpointHook',
    'MTLProgressHook',
    'NonFiniteGuardHook',
    'ResumableEpochLoop',
    'SelfCriticalHook',
    'TokenizerMetaHook',
    'dry_run',
]
