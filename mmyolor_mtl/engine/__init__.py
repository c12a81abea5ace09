"""Extensions of the training engine."""

from . import hooks, optimizers, runner
from .hooks import MTLCheckpointHook, NonFiniteGuardHook
from .runner import ResumableEpochLoop, dry_run

__all__ = [
    'MTLCheckpointHook',
    'NonFiniteGuardHook',
    'ResumableEpochLoop',
    'dry_run',
    'hooks',
    'optimizers',
    'runner',
]
