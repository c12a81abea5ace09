"""Loops of the runner, and what surrounds them."""

from .dry_run import dry_run
from .epoch_loop import ResumableEpochLoop

__all__ = ['ResumableEpochLoop', 'dry_run']
