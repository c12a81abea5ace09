"""Progress of long jobs: a bar on a terminal, now and then a line in a log."""

import sys
import time
from typing import TextIO

_BAR = 24
_LOG_SECONDS = 30.0
_DRAW_SECONDS = 0.2


class Progress:
    """Counts what is done, as a context.

    Args:
        label: What is being done.
        total: How many steps there are.
        stream: Where to write; None is the standard error stream.
    """

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self.label, self.total, self.done = label, total, 0
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._began = self._shown = time.monotonic()

    def __enter__(self) -> 'Progress':
        return self

    def __exit__(self, *error: object) -> None:
        if self._terminal:
            self._draw()
            print(file=self._stream)

    def step(self, count: int = 1) -> None:
        """Note that ``count`` more steps are done."""
        self.done += count
        now = time.monotonic()
        if now - self._shown < (_DRAW_SECONDS if self._terminal else _LOG_SECONDS):
            return
        self._shown = now
        if self._terminal:
            self._draw()
        else:
            print(self._text(), file=self._stream, flush=True)

    def _draw(self) -> None:
        filled = _BAR * self.done // max(self.total, 1)
        print(f'\r\033[K[{"#" * filled}{"." * (_BAR - filled)}] {self._text()}', end='', file=self._stream, flush=True)

    def _text(self) -> str:
        speed = self.done / max(time.monotonic() - self._began, 1e-6)
        left = f', {(self.total - self.done) / speed:,.0f} s left' if 0 < self.done < self.total else ''
        return f'{self.label}: {self.done:,}/{self.total:,}{left}'
