"""Helpers around the package: the installed stacks, command lines."""

from .compat import check_stack, register_all_modules, register_config_scope, register_safe_globals

__all__ = ['check_stack', 'register_all_modules', 'register_config_scope', 'register_safe_globals']
