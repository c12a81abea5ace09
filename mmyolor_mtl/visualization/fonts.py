"""Text in whatever script: a font that is always there, and the system's fonts for the characters that it lacks.

Matplotlib ships the DejaVu fonts, so text looks the same on every machine. They have no Chinese, Japanese or Korean;
where a font of the system does, it draws these characters.
"""

import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageDraw, ImageFont

_STYLES = ('bold', 'italic', 'oblique', 'mono', 'light', 'black', 'condensed')


class Font:
    """A font of one size that borrows characters from others.

    Args:
        size (int): Size in px.
        bold (bool): Whether it is bold; borrowed characters are not.

    Attributes:
        size (int): Size in px.
        height (int): Height of a line in px, ascenders and descenders included.
    """

    def __init__(self, size: int, bold: bool = False) -> None:
        name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
        self._path = str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / name)
        self._main = _face(self._path, size)
        self._ascent, descent = self._main.getmetrics()
        self.size = size
        self.height = self._ascent + descent

    def getlength(self, text: str) -> float:
        """Width of a line of text in px."""
        return sum(face.getlength(part) for face, part in self._runs(text))

    def shorten(self, text: str, width: float) -> str:
        """The text, or as much of its beginning as fits into ``width`` px with an ellipsis."""
        return text if self.getlength(text) <= width else f'{text[: self.fit(text, width, "…")].rstrip()}…'

    def fit(self, text: str, width: float, tail: str = '') -> int:
        """How many characters of a text, with ``tail`` behind them, fit into ``width`` px; at least 1."""
        low, high = 1, 2
        while high < len(text) and self.getlength(text[:high] + tail) <= width:  # a text may be very long
            low, high = high, 2 * high
        high = min(high, len(text))
        while low < high:
            middle = (low + high + 1) // 2
            if self.getlength(text[:middle] + tail) <= width:
                low = middle
            else:
                high = middle - 1
        return low

    def draw(self, draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, **style: Any) -> None:
        """Draw a line of text.

        Args:
            draw (ImageDraw.ImageDraw): Where to draw.
            corner (tuple[float, float]): (x, y) px of the line's top left.
            text (str): The text; control characters are left out.
            style (Any): ``fill``, ``stroke_width``, ``stroke_fill`` of Pillow's ``ImageDraw.text``.
        """
        x, y = corner
        for face, part in self._runs(text):
            draw.text((x, y + self._ascent), part, font=face, anchor='ls', **style)
            x += face.getlength(part)

    def _runs(self, text: str) -> list[tuple[ImageFont.FreeTypeFont, str]]:
        """Stretches of the text that one font can draw."""
        text = clean_text(text)
        known = _characters(self._path)
        if all(ord(char) in known for char in text):
            return [(self._main, text)]
        runs: list[tuple[ImageFont.FreeTypeFont, str]] = []
        for char in text:
            path = self._path if ord(char) in known else _font_with(char) or self._path
            face = _face(path, self.size)
            if runs and runs[-1][0] is face:
                runs[-1] = (face, runs[-1][1] + char)
            else:
                runs.append((face, char))
        return runs


@lru_cache(maxsize=64)
def load_font(size: int, bold: bool = False) -> Font:
    """The font of a size in px."""
    return Font(size, bold)


@lru_cache(maxsize=4096)
def clean_text(text: str) -> str:
    """Text that can be drawn on one line: no control or joining characters, blanks for line ends and tabs."""
    if text.isascii() and text.isprintable():
        return text
    return ''.join(_drawable(char) for char in text)


def _drawable(char: str) -> str:
    category = unicodedata.category(char)
    if category in ('Cc', 'Zl', 'Zp'):
        return ' '
    if category == 'Cs':  # half of a character, which no encoding takes
        return '\ufffd'
    return '' if category == 'Cf' or '\ufe00' <= char <= '\ufe0f' else char


@lru_cache(maxsize=256)
def _face(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@lru_cache(maxsize=32)
def _characters(path: str) -> frozenset[int]:
    """Code points that a font draws at any size; none if it cannot be used."""
    try:
        _face(path, 20)  # fonts of coloured pictures come in one size only
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@lru_cache(maxsize=1)
def _system_fonts() -> list[str]:
    """Fonts of the system, plain ones first."""
    paths = font_manager.findSystemFonts()
    return sorted(paths, key=lambda path: (any(style in Path(path).stem.lower() for style in _STYLES), path))


@lru_cache(maxsize=4096)
def _font_with(char: str) -> str | None:
    """File of a font of the system that has a character."""
    return next((path for path in _system_fonts() if ord(char) in _characters(path)), None)
