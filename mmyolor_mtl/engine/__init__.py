"""Extensions of the training engine."""

from . import hooks, optimizers

__all__ = ['hooks', 'optimizers']
