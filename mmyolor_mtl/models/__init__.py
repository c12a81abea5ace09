"""Backbones, necks, heads, losses and the multi-task shell; importing registers them."""

from . import backbones, balancers, data_preprocessor, detectors, heads, losses, necks, task_modules, text

__all__ = [
    'backbones',
    'balancers',
    'data_preprocessor',
    'detectors',
    'heads',
    'losses',
    'necks',
    'task_modules',
    'text',
]
