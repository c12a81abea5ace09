"""Drawing primitives on RGB arrays: text with a font that is always there, masks, tags, legends.

Matplotlib ships the DejaVu fonts, so text looks the same on every machine. Arrays are uint8 (H,W,3), RGB.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

INK: Color = (31, 41, 55)
MUTED: Color = (107, 114, 128)
PAPER: Color = (255, 255, 255)


@lru_cache(maxsize=64)
def load_font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans at a size in px."""
    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / name), size)


def font_height(font: ImageFont.FreeTypeFont) -> int:
    """Height of a line of text in px, ascenders and descenders included."""
    return sum(font.getmetrics())


def class_colors(number: int, palette: object = None) -> list[Color]:
    """Colours of ``number`` classes: the given palette, continued with distinct generated colours where it ends.

    Args:
        number (int): Number of colours wanted.
        palette (object): Sequence of RGB tuples in [0, 255]; anything else (None, 'random') counts as empty.
    """
    known = palette if isinstance(palette, list | tuple) else ()
    colors = [_rgb(color) for color in known[:number]]
    for i in range(len(colors), number):
        # Golden-ratio steps keep neighbours in the list far apart in hue.
        hue = int(180 * ((i * 0.618034) % 1.0))
        hsv = np.uint8([[[hue, 150 + 40 * (i % 3), 235 - 35 * (i % 2)]]])
        colors.append(_rgb(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]))
    return colors


def shade(color: Color, step: int) -> Color:
    """One of seven visibly different shades of a colour, so that two instances of a class can be told apart."""
    hsv = cv2.cvtColor(np.uint8([[color]]), cv2.COLOR_RGB2HSV)[0, 0].astype(int)
    hsv[0] = (hsv[0] + (0, 9, -9, 18, -18, 5, -5)[step % 7]) % 180
    hsv[2] = np.clip(hsv[2] + (0, -55, 40, -30, 55, -80, 25)[step % 7], 70, 255)
    return _rgb(cv2.cvtColor(np.uint8([[hsv]]), cv2.COLOR_HSV2RGB)[0, 0])


def text_color(background: Color) -> Color:
    """Black or white, whichever is easier to read on ``background``."""
    red, green, blue = background
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def wrap_text(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break text into lines of at most ``width`` px; a word longer than a line is broken too."""
    lines: list[str] = []
    line = ''
    for word in text.split():
        joined = f'{line} {word}'.strip()
        if font.getlength(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        line = word
        while font.getlength(line) > width and len(line) > 1:
            cut = max(1, sum(font.getlength(line[:n]) <= width for n in range(1, len(line))))
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line] if line else lines


def blend_mask(image: np.ndarray, mask: np.ndarray, color: Color, alpha: float) -> None:
    """Lay a translucent mask over the image, in place.

    Args:
        image (np.ndarray): uint8 (H,W,3).
        mask (np.ndarray): bool (H,W).
        color (Color): RGB.
        alpha (float): Opacity in [0, 1].
    """
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return
    window = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    region, inside = image[window], mask[window]
    region[inside] = (region[inside] * (1 - alpha) + np.asarray(color) * alpha).astype(np.uint8)


def outline_mask(image: np.ndarray, mask: np.ndarray, color: Color, thickness: int) -> None:
    """Draw the outline of a bool mask (H,W), in place."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, contours, -1, color, thickness, cv2.LINE_AA)


def hatch(image: np.ndarray, mask: np.ndarray, color: Color, step: int) -> None:
    """Draw diagonal lines, ``step`` px apart, over a bool mask (H,W), in place."""
    rows, cols = np.ogrid[: mask.shape[0], : mask.shape[1]]
    image[mask & ((rows + cols) % step < max(1, step // 6))] = color


def region_borders(ids: np.ndarray, thickness: int) -> np.ndarray:
    """Bool (H,W): pixels on the border between two regions of an id map (H,W)."""
    edge = np.zeros(ids.shape, dtype=np.uint8)
    edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edge[1:] |= ids[1:] != ids[:-1]
    if thickness > 1:
        edge = cv2.dilate(edge, np.ones((thickness, thickness), np.uint8))
    return edge.astype(bool)


def draw_tags(
    image: np.ndarray, tags: Sequence[tuple[str, Color, Sequence[float]]], font: ImageFont.FreeTypeFont
) -> np.ndarray:
    """Write a label at each box, on a patch of the box's colour, where it covers as few other labels as possible.

    Args:
        image (np.ndarray): uint8 (H,W,3).
        tags (Sequence): (text, colour, box xyxy px) for each label.
        font (ImageFont.FreeTypeFont): Font of the text.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    height, width = image.shape[:2]
    pad = max(2, font.size // 6)
    taken: np.ndarray = np.zeros((0, 4))
    for text, color, box in tags:
        size = (int(font.getlength(text)) + 2 * pad, font_height(font) + pad)
        spot = _free_spot(box, size, (width, height), taken)
        taken = np.vstack([taken, spot])
        draw.rectangle([spot[0], spot[1], spot[2] - 1, spot[3] - 1], fill=color)
        draw.text((spot[0] + pad, spot[1] + pad // 2), text, font=font, fill=text_color(color))
    return np.asarray(canvas).copy()


def write_centred(
    image: np.ndarray, texts: Iterable[tuple[str, tuple[int, int]]], font: ImageFont.FreeTypeFont
) -> np.ndarray:
    """Write white text with a dark rim, each centred on its (x, y) as far as the image's edges allow.

    A text that would lie over an earlier one is left out, so give the important ones first.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    rim = max(2, font.size // 7)
    taken: np.ndarray = np.zeros((0, 4))
    for text, (x, y) in texts:
        half_w, half_h = font.getlength(text) / 2 + rim, font_height(font) / 2
        x = round(min(max(x, half_w), max(half_w, image.shape[1] - half_w)))
        y = round(min(max(y, half_h), max(half_h, image.shape[0] - half_h)))
        spot = (x - half_w, y - half_h, x + half_w, y + half_h)
        if _covered(spot, taken):
            continue
        taken = np.vstack([taken, spot])
        draw.text((x, y), text, font=font, fill=PAPER, anchor='mm', stroke_width=rim, stroke_fill=(20, 20, 20))
    return np.asarray(canvas).copy()


def legend(
    entries: Sequence[tuple[str, Color]], width: int, font: ImageFont.FreeTypeFont, most: int = 18
) -> np.ndarray:
    """Colour chips with names in rows of at most ``width`` px; uint8 (h,width,3), h = 0 without entries.

    Entries beyond ``most`` are only counted.
    """
    rest = len(entries) - most
    entries = [*entries[:most], (f'and {rest} more', PAPER)] if rest > 0 else entries
    gap = chip = int(font.size)
    row_height = font_height(font) + gap // 2
    places: list[tuple[int, int]] = []
    x = row = 0
    for name, _ in entries:
        item = chip + gap // 2 + int(font.getlength(name)) + gap
        if x and x + item - gap > width:
            x, row = 0, row + 1
        places.append((x, row))
        x += item
    canvas = Image.new('RGB', (width, (row + 1) * row_height if entries else 0), PAPER)
    draw = ImageDraw.Draw(canvas)
    for (name, color), (left, row) in zip(entries, places, strict=True):
        middle = row * row_height + row_height // 2
        if color != PAPER:
            outline = [left, middle - chip // 2, left + chip, middle + chip // 2]
            draw.rounded_rectangle(outline, chip // 5, fill=color, outline=MUTED)
        draw.text((left + chip + gap // 2, middle), name, font=font, fill=INK, anchor='lm')
    return np.asarray(canvas)


def text_strip(
    paragraphs: Sequence[tuple[str, bool]], width: int, font_size: int, accent: Color, tail: str = ''
) -> np.ndarray:
    """A tinted strip with wrapped paragraphs.

    Args:
        paragraphs (Sequence): (text, bold) each.
        width (int): Width in px.
        font_size (int): Size of the text in px.
        accent (Color): Colour of the bar at the left edge.
        tail (str): Muted note below.
    """
    margin = font_size
    lines: list[tuple[str, ImageFont.FreeTypeFont, Color, int]] = []
    for text, bold in paragraphs:
        font = load_font(font_size, bold)
        wrapped = wrap_text(text, font, width - 2 * margin) or ['']
        spaces = [font_size // 4] * (len(wrapped) - 1) + [font_size // 2]
        lines.extend((line, font, INK, space) for line, space in zip(wrapped, spaces, strict=True))
    if tail:
        lines.append((tail, load_font(max(9, font_size * 4 // 5)), MUTED, font_size // 2))
    height = sum(font_height(font) + space for _, font, _, space in lines) + margin * 3 // 2 - font_size // 2
    canvas = Image.new('RGB', (width, height), (243, 244, 246))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle([0, 0, max(3, font_size // 4), height], fill=accent)
    y = margin * 3 // 4
    for line, font, color, space in lines:
        draw.text((margin, y), line, font=font, fill=color)
        y += font_height(font) + space
    return np.asarray(canvas)


def title_bar(title: str, note: str, width: int, font_size: int) -> np.ndarray:
    """A line with a bold title at the left and a muted note at the right, which gives way if both do not fit."""
    bold, plain = load_font(font_size, bold=True), load_font(max(9, font_size * 4 // 5))
    canvas = Image.new('RGB', (width, font_height(bold) + font_size // 2), PAPER)
    draw = ImageDraw.Draw(canvas)
    middle = canvas.height // 2
    draw.text((0, middle), title, font=bold, fill=INK, anchor='lm')
    if note and bold.getlength(title) + plain.getlength(note) + font_size <= width:
        draw.text((width, middle), note, font=plain, fill=MUTED, anchor='rm')
    return np.asarray(canvas)


def pad_to(image: np.ndarray, height: int, width: int, centre: bool = False) -> np.ndarray:
    """Extend an image to (height, width) with paper colour; ``centre`` places it in the middle of the width."""
    left = (width - image.shape[1]) // 2 if centre else 0
    out = np.full((height, width, 3), PAPER, dtype=np.uint8)
    out[: image.shape[0], left : left + image.shape[1]] = image
    return out


def stack_rows(images: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Stack images of one width below each other, ``gap`` px apart; empty ones are left out."""
    images = [image for image in images if image.shape[0]]
    space = np.full((gap, images[0].shape[1], 3), PAPER, dtype=np.uint8)
    return np.concatenate([part for image in images for part in (image, space)][:-1])


def _rgb(color: Iterable[int]) -> Color:
    red, green, blue = (int(value) for value in color)
    return red, green, blue


def _free_spot(
    box: Sequence[float], size: tuple[int, int], image_size: tuple[int, int], taken: np.ndarray
) -> tuple[int, int, int, int]:
    """Place a label of ``size`` (w, h) at a box: above it, else inside or below, where it covers the least."""
    (width, height), (image_w, image_h) = size, image_size
    left, top, right, bottom = (int(v) for v in box)
    columns = (left, right - width, (left + right - width) // 2)
    rows = (top - height, top, bottom - height, bottom)
    best: tuple[float, tuple[int, int, int, int]] | None = None
    for order, (y, x) in enumerate((y, x) for y in rows for x in columns):
        x0 = max(0, min(x, image_w - width))
        y0 = max(0, min(y, image_h - height))
        spot = (x0, y0, x0 + width, y0 + height)
        # Being pushed back into the image counts a little: the label then sits on another object's part of the picture.
        cost = _covered(spot, taken) + 0.1 * (abs(x0 - x) * height + abs(y0 - y) * width) + 0.01 * order
        if best is None or cost < best[0]:
            best = (cost, spot)
    assert best is not None
    return best[1]


def _covered(spot: Sequence[float], taken: np.ndarray) -> float:
    overlap_w = np.minimum(taken[:, 2], spot[2]) - np.maximum(taken[:, 0], spot[0])
    overlap_h = np.minimum(taken[:, 3], spot[3]) - np.maximum(taken[:, 1], spot[1])
    return float((np.clip(overlap_w, 0, None) * np.clip(overlap_h, 0, None)).sum())
