"""Modules of a network by name."""

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any


def matching_modules(model: Any, patterns: Iterable[str]) -> dict[str, Any]:
    """Modules whose name matches one of the patterns, by name.

    Args:
        model: A torch module.
        patterns: Names, or patterns with ``*`` and ``?``. ``*`` also stands for dots.

    Raises:
        ValueError: A pattern matches nothing; names that resemble it are listed.
    """
    modules = dict(model.named_modules())
    found: dict[str, Any] = {}
    for pattern in patterns:
        matches = {name: module for name, module in modules.items() if name and fnmatchcase(name, pattern)}
        if not matches:
            close = difflib.get_close_matches(pattern, modules, n=3, cutoff=0.3)
            raise ValueError(f'no module is called {pattern}; names like it: {", ".join(close) or "none"}')
        found.update(matches)
    return found
