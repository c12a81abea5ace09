"""Backbones, necks, heads, losses and the multi-task shell; importing registers them."""

from . import backbones, data_preprocessor, detectors, heads, losses, necks, task_modules, text

__all__ = ['backbones', 'data_preprocessor', 'detectors', 'heads', 'losses', 'necks', 'task_modules', 'text']
