"""Drawing primitives on RGB arrays, uint8 (H,W,3): masks, tags, legends, paragraphs."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from .fonts import Font, load_font

Color = tuple[int, int, int]

INK: Color = (31, 41, 55)
MUTED: Color = (107, 114, 128)
PAPER: Color = (255, 255, 255)
_MOST_COVERED = 0.1  # share of a label that may lie over others; more could not be read
_MOST_LINES = 40


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


def wrap_text(text: str, font: Font, width: int) -> list[str]:
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
        while (cut := font.fit(line, width)) < len(line):
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line] if line else lines


def blend_mask(image: np.ndarray, mask: np.ndarray, corner: tuple[int, int], color: Color, alpha: float) -> None:
    """Lay a translucent mask over the image, in place.

    Args:
        image (np.ndarray): uint8 (H,W,3).
        mask (np.ndarray): bool (h,w), a window of the image.
        corner (tuple[int, int]): (x, y) of the window's corner; it may reach beyond the image.
        color (Color): RGB.
        alpha (float): Opacity in [0, 1].
    """
    x, y = corner
    region = image[y : y + mask.shape[0], x : x + mask.shape[1]]
    inside = mask[: region.shape[0], : region.shape[1]]
    region[inside] = (region[inside] * (1 - alpha) + np.asarray(color) * alpha).astype(np.uint8)


def outline_mask(image: np.ndarray, mask: np.ndarray, corner: tuple[int, int], color: Color, thickness: int) -> None:
    """Draw the outline of a bool mask (h,w), a window at ``corner`` (x, y) of the image, in place."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=corner)
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
    image: np.ndarray, tags: Sequence[tuple[str, Color, Sequence[float]]], font: Font
) -> tuple[np.ndarray, list[int]]:
    """Write a label at each box, on a patch of the box's colour, where it covers as few other labels as possible.

    A label that would lie by more than a tenth on others is left out, so give the important ones first.

    Args:
        image (np.ndarray): uint8 (H,W,3).
        tags (Sequence): (text, colour, box xyxy px) for each label; texts wider than the image are shortened.
        font (Font): Font of the text.

    Returns:
        tuple: The picture, and the numbers of the labels left out.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    height, width = image.shape[:2]
    pad = max(2, font.size // 6)
    taken: np.ndarray = np.zeros((0, 4))
    left_out = []
    for number, (text, color, box) in enumerate(tags):
        text = font.shorten(text, width - 2 * pad)
        size = (int(font.getlength(text)) + 2 * pad, font.height + pad)
        spot = _free_spot(box, size, (width, height), taken)
        if _covered(np.array([spot]), taken)[0] > _MOST_COVERED * size[0] * size[1]:
            left_out.append(number)
            continue
        taken = np.vstack([taken, spot])
        draw.rectangle([spot[0], spot[1], spot[2] - 1, spot[3] - 1], fill=color)
        font.draw(draw, (spot[0] + pad, spot[1] + pad // 2), text, fill=text_color(color))
    return np.array(canvas), left_out


def write_centred(image: np.ndarray, texts: Iterable[tuple[str, tuple[int, int]]], font: Font) -> np.ndarray:
    """Write white text with a dark rim, each centred on its (x, y) as far as the image's edges allow.

    A text that would lie over an earlier one is left out, so give the important ones first.
    """
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    rim = max(2, font.size // 7)
    taken: np.ndarray = np.zeros((0, 4))
    for text, (x, y) in texts:
        text = font.shorten(text, image.shape[1] - 2 * rim)
        half_w, half_h = font.getlength(text) / 2 + rim, font.height / 2
        x = round(min(max(x, half_w), max(half_w, image.shape[1] - half_w)))
        y = round(min(max(y, half_h), max(half_h, image.shape[0] - half_h)))
        spot = (x - half_w, y - half_h, x + half_w, y + half_h)
        if _covered(np.array([spot]), taken)[0]:
            continue
        taken = np.vstack([taken, spot])
        corner = (round(x - half_w) + rim, round(y - half_h))
        font.draw(draw, corner, text, fill=PAPER, stroke_width=rim, stroke_fill=(20, 20, 20))
    return np.array(canvas)


def legend(entries: Sequence[tuple[str, Color]], width: int, font: Font, most: int = 18) -> np.ndarray:
    """Colour chips with names in rows of at most ``width`` px; uint8 (h,width,3), h = 0 without entries.

    Entries beyond ``most`` are only counted.
    """
    gap = chip = int(font.size)
    rest = len(entries) - most
    entries = [*entries[:most], (f'and {rest} more', PAPER)] if rest > 0 else entries
    entries = [(font.shorten(name, width - chip - gap // 2), color) for name, color in entries]
    row_height = font.height + gap // 2
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
        font.draw(draw, (left + chip + gap // 2, middle - font.height // 2), name, fill=INK)
    return np.array(canvas)


def text_strip(
    paragraphs: Sequence[tuple[str, bool]], width: int, font_size: int, accent: Color, tail: str = ''
) -> np.ndarray:
    """A tinted strip with wrapped paragraphs, cut off after ``_MOST_LINES`` lines.

    Args:
        paragraphs (Sequence): (text, bold) each.
        width (int): Width in px.
        font_size (int): Size of the text in px.
        accent (Color): Colour of the bar at the left edge.
        tail (str): Muted note below.
    """
    margin = font_size
    lines: list[tuple[str, Font, Color, int]] = []
    for text, bold in paragraphs:
        font = load_font(font_size, bold)
        wrapped = wrap_text(text, font, width - 2 * margin) or ['']
        spaces = [font_size // 4] * (len(wrapped) - 1) + [font_size // 2]
        lines.extend((line, font, INK, space) for line, space in zip(wrapped, spaces, strict=True))
    if len(lines) > _MOST_LINES:
        lines = lines[:_MOST_LINES]
        lines[-1] = (f'{lines[-1][0]}…', *lines[-1][1:])
    if tail:
        lines.append((tail, load_font(max(9, font_size * 4 // 5)), MUTED, font_size // 2))
    height = sum(font.height + space for _, font, _, space in lines) + margin * 3 // 2 - font_size // 2
    canvas = Image.new('RGB', (width, height), (243, 244, 246))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle([0, 0, max(3, font_size // 4), height], fill=accent)
    y = margin * 3 // 4
    for line, font, color, space in lines:
        font.draw(draw, (margin, y), line, fill=color)
        y += font.height + space
    return np.array(canvas)


def title_bar(title: str, note: str, width: int, font_size: int) -> np.ndarray:
    """A line with a bold title at the left and a muted note at the right, which gives way if both do not fit."""
    bold, plain = load_font(font_size, bold=True), load_font(max(9, font_size * 4 // 5))
    canvas = Image.new('RGB', (width, bold.height + font_size // 2), PAPER)
    draw = ImageDraw.Draw(canvas)
    title = bold.shorten(title, width)
    bold.draw(draw, (0, font_size // 4), title, fill=INK)
    left = width - plain.getlength(note)
    if bold.getlength(title) + font_size <= left:
        plain.draw(draw, (left, (canvas.height - plain.height) // 2), note, fill=MUTED)
    return np.array(canvas)


def pad_to(image: np.ndarray, height: int, width: int, centre: bool = False, color: Color = PAPER) -> np.ndarray:
    """Extend an image to (height, width) with a colour; ``centre`` places it in the middle, else at the top left."""
    if image.shape[:2] == (height, width):
        return image
    top, left = ((height - image.shape[0]) // 2, (width - image.shape[1]) // 2) if centre else (0, 0)
    out = np.full((height, width, 3), color, dtype=np.uint8)
    out[top : top + image.shape[0], left : left + image.shape[1]] = image
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
    """Place a label of ``size`` (w, h) at a box, where it covers the least: above it, else in it or near."""
    (width, height), (image_w, image_h) = size, image_size
    left, top, right, bottom = (int(v) for v in box)
    columns = np.array([left, right - width, (left + right - width) // 2, left - width, right])
    rows = np.array([top - height, top, bottom - height, bottom, top - 2 * height, bottom + height])
    wanted = np.stack([np.tile(columns, len(rows)), np.repeat(rows, len(columns))], axis=1)
    corners = np.clip(wanted, 0, np.maximum(0, [image_w - width, image_h - height]))
    spots = np.concatenate([corners, corners + size], axis=1)
    # Being pushed back into the image counts a little: the label then sits on another object's part of the picture.
    pushed = np.abs(corners - wanted) @ (height, width)
    best = np.argmin(_covered(spots, taken) + 0.1 * pushed + 0.01 * np.arange(len(spots)))
    x0, y0, x1, y1 = (int(v) for v in spots[best])
    return x0, y0, x1, y1


def _covered(spots: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Area (N,) px^2 of each of N xyxy spots that lies on the (M,4) spots taken."""
    low = np.maximum(spots[:, None, :2], taken[None, :, :2])
    high = np.minimum(spots[:, None, 2:], taken[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=2).sum(axis=1)
