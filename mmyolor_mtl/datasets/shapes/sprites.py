"""The things of Shapes: outlines made of polygons, drawn with soft edges and exact masks.

A drawing is a list of parts in unit coordinates (x right, y down, about -1..1), painted in order. A part may have
several rings of points; where they overlap is a hole (even-odd rule). Masks are the union of all parts.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

Rng = np.random.Generator
RGB = tuple[int, int, int]

_INK, _GLASS, _TRUNK, _CREAM = (38, 34, 40), (196, 226, 240), (112, 74, 44), (246, 234, 208)
_OUTLINE = 0.055  # Width of the ink line around a part, unit coordinates.


class Part(NamedTuple):
    """One painted piece: its rings ((P, 2) points each) and its paint ('body', 'dark', 'light' or RGB)."""

    rings: list[np.ndarray]
    paint: str | RGB


class Sprite(NamedTuple):
    """A drawn object.

    Attributes:
        x: Left column of the patch in the canvas, px.
        y: Top row of the patch in the canvas, px.
        colour: float32 (h, w, 3) RGB, already multiplied by alpha.
        alpha: float32 (h, w), the covered share of each pixel.
    """

    x: int
    y: int
    colour: np.ndarray
    alpha: np.ndarray

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas under the patch."""
        return slice(self.y, self.y + self.alpha.shape[0]), slice(self.x, self.x + self.alpha.shape[1])


def _points(*pairs: tuple[float, float]) -> np.ndarray:
    return np.asarray(pairs, np.float64)


def _ellipse(cx: float, cy: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> np.ndarray:
    """Points of an ellipse or of its arc between two angles (degrees, clockwise from the right)."""
    t = np.radians(np.linspace(start, stop, 48, endpoint=stop - start < 360))
    return np.stack([cx + rx * np.cos(t), cy + ry * np.sin(t)], axis=1)


def _rect(x1: float, y1: float, x2: float, y2: float) -> np.ndarray:
    return _points((x1, y1), (x2, y1), (x2, y2), (x1, y2))


def _ball(rng: Rng) -> list[Part]:
    band = np.concatenate([_ellipse(0, 0, 1, 0.42, 0, 180), _ellipse(0, 0, 1, 0.1, 180, 0)])
    return [
        Part([_ellipse(0, 0, 1, 1)], 'body'),
        Part([band], 'dark'),
        Part([_ellipse(-0.36, -0.5, 0.2, 0.14)], 'light'),
    ]


def _box(rng: Rng) -> list[Part]:
    high = rng.uniform(0.72, 0.95)
    frame = [_rect(-0.95, -high, 0.95, high), _rect(-0.68, -high + 0.27, 0.68, high - 0.27)]
    brace = _points((-0.68, high - 0.5), (-0.68, high - 0.27), (-0.45, high - 0.27))
    brace = np.concatenate([brace, _points((0.68, -high + 0.5), (0.68, -high + 0.27), (0.45, -high + 0.27))])
    return [Part([frame[0]], 'body'), Part(frame, 'dark'), Part([brace], 'light')]


def _star(rng: Rng) -> list[Part]:
    def spikes(radius: float) -> np.ndarray:
        t = np.radians(-90 + 36 * np.arange(10))
        r = np.where(np.arange(10) % 2, radius * inner, radius)
        return np.stack([r * np.cos(t), r * np.sin(t)], axis=1)

    inner = rng.uniform(0.4, 0.5)
    return [Part([spikes(1.0)], 'body'), Part([spikes(0.5)], 'light')]


def _heart(rng: Rng) -> list[Part]:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return [
        Part([np.stack([x / 17, (y - 2.5) / 16], axis=1)], 'body'),
        Part([_ellipse(-0.45, -0.52, 0.2, 0.13)], 'light'),
    ]


def _ring(rng: Rng) -> list[Part]:
    hole, flat = rng.uniform(0.42, 0.55), rng.uniform(0.8, 1.0)
    parts = [Part([_ellipse(0, 0, 1, flat), _ellipse(0, 0, hole, hole * flat)], 'body')]
    for start in (20, 140, 260):
        outer, inner = _ellipse(0, 0, 1, flat, start, start + 34), _ellipse(0, 0, hole, hole * flat, start + 34, start)
        parts.append(Part([np.concatenate([outer, inner])], 'light'))
    return parts


def _house(rng: Rng) -> list[Part]:
    wide, eaves = rng.uniform(0.75, 0.92), rng.uniform(-0.3, -0.1)
    parts = [
        Part([_rect(-wide, eaves, wide, 0.95)], 'body'),
        Part([_points((-wide - 0.14, eaves), (0, -0.98), (wide + 0.14, eaves))], 'dark'),
        Part([_rect(-0.16, 0.35, 0.2, 0.95)], _TRUNK),
    ]
    for x in (-0.66, 0.36):
        parts.append(Part([_rect(x * wide / 0.85, 0.12, x * wide / 0.85 + 0.28, 0.42)], _GLASS))
    return parts


def _tree(rng: Rng) -> list[Part]:
    trunk = Part([_points((-0.13, 0.1), (0.13, 0.1), (0.18, 1), (-0.18, 1))], _TRUNK)
    if rng.random() < 0.5:
        tiers = [_points((-w, y), (0, y - 0.75), (w, y)) for w, y in ((0.72, 0.5), (0.58, 0.1), (0.42, -0.28))]
        return [trunk, *(Part([tier], 'body') for tier in tiers)]
    blobs = [_ellipse(x, y, r, r) for x, y, r in ((-0.36, 0.0, 0.4), (0.36, 0.0, 0.4), (0, -0.45, 0.52))]
    shine = Part([_ellipse(-0.16, -0.6, 0.18, 0.13)], 'light')
    return [trunk, *(Part([blob], 'body') for blob in blobs), shine]


def _car(rng: Rng) -> list[Part]:
    roof = rng.uniform(-0.62, -0.5)
    cabin = _points((-0.62, -0.08), (-0.4, roof), (0.28, roof), (0.58, -0.08))
    parts = [
        Part([cabin], 'body'),
        Part([_points((-0.46, -0.1), (-0.32, roof + 0.12), (-0.06, roof + 0.12), (-0.06, -0.1))], _GLASS),
        Part([_points((0.04, -0.1), (0.04, roof + 0.12), (0.22, roof + 0.12), (0.42, -0.1))], _GLASS),
        Part([_points((-1, 0.3), (-0.98, -0.05), (-0.6, -0.12), (0.6, -0.12), (0.96, 0.02), (1, 0.3))], 'body'),
    ]
    for x in (-0.55, 0.55):
        parts += [Part([_ellipse(x, 0.3, 0.25, 0.25)], _INK), Part([_ellipse(x, 0.3, 0.1, 0.1)], _GLASS)]
    return parts


def _boat(rng: Rng) -> list[Part]:
    tall = rng.uniform(0.85, 1.0)
    return [
        Part([_rect(-0.07, -tall, 0.05, 0.4)], _TRUNK),
        Part([_points((0.1, -tall + 0.08), (0.82, 0.24), (0.1, 0.24))], _CREAM),
        Part([_points((-0.12, -tall + 0.25), (-0.12, 0.24), (-0.62, 0.24))], _CREAM),
        Part([_points((-0.98, 0.36), (0.98, 0.36), (0.66, 0.86), (-0.66, 0.86))], 'body'),
        Part([_points((-0.9, 0.48), (0.9, 0.48), (0.82, 0.6), (-0.82, 0.6))], 'light'),
    ]


def _fish(rng: Rng) -> list[Part]:
    fat = rng.uniform(0.4, 0.52)
    return [
        Part([_points((0.4, 0), (0.98, -0.5), (0.84, 0), (0.98, 0.5))], 'dark'),
        Part([_points((-0.2, -fat * 0.8), (0.2, -fat - 0.22), (0.36, -fat * 0.6))], 'dark'),
        Part([_ellipse(-0.22, 0, 0.75, fat)], 'body'),
        Part([_ellipse(-0.22, 0, 0.2, fat * 0.96, -70, 70)], 'light'),
        Part([_ellipse(-0.66, -0.12, 0.1, 0.1)], _INK),
    ]


def _balloon(rng: Rng) -> list[Part]:
    wide = rng.uniform(0.54, 0.64)
    string = _points((-0.03, 0.45), (0.05, 0.45), (0.09, 0.72), (0.03, 1.0), (-0.05, 1.0), (0.01, 0.72))
    return [
        Part([string], _INK),
        Part([_points((-0.12, 0.5), (0, 0.3), (0.12, 0.5))], 'dark'),
        Part([_ellipse(0, -0.32, wide, 0.68)], 'body'),
        Part([_ellipse(-0.22, -0.6, 0.12, 0.18)], 'light'),
    ]


def _kite(rng: Rng) -> list[Part]:
    top, side, low = (0.0, -1.0), 0.62, (0.0, 0.5)
    tail = _points(
        (-0.04, 0.45), (0.06, 0.45), (0.14, 0.64), (0.0, 0.82), (0.1, 1.0), (0.0, 1.0), (-0.1, 0.82), (0.04, 0.64)
    )
    return [
        Part([tail], _INK),
        Part([_points(top, (side, -0.35), low, (-side, -0.35))], 'body'),
        Part([_points(top, (side, -0.35), (0, -0.35))], 'light'),
        Part([_points((0, -0.35), low, (-side, -0.35))], 'dark'),
        Part([_points((-0.22, 0.6), (0.26, 0.78), (0.26, 0.6), (-0.22, 0.78))], 'body'),
    ]


def _mushroom(rng: Rng) -> list[Part]:
    stem, dome = rng.uniform(0.26, 0.36), rng.uniform(0.85, 1.0)
    cap = np.concatenate([_ellipse(0, 0.05, 0.98, dome, 180, 360), _ellipse(0, 0.05, 0.98, 0.2, 0, 180)])
    spots = [_ellipse(x, y, r, r * 0.85) for x, y, r in ((-0.45, -0.2, 0.16), (0.08, -0.52, 0.17), (0.5, -0.14, 0.14))]
    stalk = _points((-stem, 0.1), (stem, 0.1), (stem * 1.25, 0.95), (-stem * 1.25, 0.95))
    return [Part([stalk], _CREAM), Part([cap], 'body'), *(Part([spot], _CREAM) for spot in spots)]


def _mug(rng: Rng) -> list[Part]:
    foot = rng.uniform(0.46, 0.6)
    handle = [_ellipse(0.56, 0.05, 0.44, 0.5), _ellipse(0.56, 0.05, 0.22, 0.27)]
    cup = _points((-0.72, -0.72), (0.6, -0.72), (foot, 0.9), (-foot - 0.08, 0.9))
    return [
        Part(handle, 'dark'),
        Part([cup], 'body'),
        Part([_ellipse(-0.06, -0.72, 0.66, 0.17)], 'dark'),
        Part([_points((-0.66, -0.15), (0.57, -0.15), (0.54, 0.12), (-0.63, 0.12))], 'light'),
    ]


DRAWINGS: dict[str, Callable[[Rng], list[Part]]] = {
    'ball': _ball,
    'box': _box,
    'star': _star,
    'heart': _heart,
    'ring': _ring,
    'house': _house,
    'tree': _tree,
    'car': _car,
    'boat': _boat,
    'fish': _fish,
    'balloon': _balloon,
    'kite': _kite,
    'mushroom': _mushroom,
    'mug': _mug,
}


def transformed(parts: list[Part], angle: float, mirror: bool, size: float) -> list[Part]:
    """Parts mirrored, turned by ``angle`` degrees and scaled so that the longer side of their box is ``size`` px."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[cos, sin], [-sin, cos]]) * np.array([[-1.0 if mirror else 1.0], [1.0]])
    turned = [Part([ring @ turn for ring in part.rings], part.paint) for part in parts]
    points = np.concatenate([ring for part in turned for ring in part.rings])
    low, high = points.min(axis=0), points.max(axis=0)
    scale, middle = size / (high - low).max(), (low + high) / 2
    return [Part([(ring - middle) * scale for ring in part.rings], part.paint) for part in turned]


def extent(parts: list[Part]) -> tuple[float, float]:
    """Half width and half height (px) of transformed parts, which are centred on the origin."""
    points = np.concatenate([ring for part in parts for ring in part.rings])
    half_w, half_h = points.max(axis=0)
    return float(half_w), float(half_h)


def draw(
    parts: list[Part], colour: RGB, centre: tuple[float, float], shape: tuple[int, int], light: float
) -> Sprite | None:
    """Draw transformed parts with their centre at ``centre`` (x, y px) in a canvas of ``shape`` (h, w).

    Args:
        parts: Result of :func:`transformed`.
        colour: RGB of the 'body' paint.
        centre: Where the middle of the parts' box goes, px.
        shape: Canvas height and width.
        light: Direction the light comes from, radians.

    Returns:
        The part of the drawing inside the canvas, None when nothing is inside.
    """
    half_w, half_h = extent(parts)
    pad = 2 + _OUTLINE * max(half_w, half_h)
    x1, y1 = max(0, int(centre[0] - half_w - pad)), max(0, int(centre[1] - half_h - pad))
    x2, y2 = min(shape[1], int(centre[0] + half_w + pad) + 1), min(shape[0], int(centre[1] + half_h + pad) + 1)
    if x2 <= x1 or y2 <= y1:
        return None
    zoom = 4 if max(half_w, half_h) < 160 else 2
    paint = np.zeros(((y2 - y1) * zoom, (x2 - x1) * zoom, 3), np.uint8)
    cover = np.zeros(paint.shape[:2], np.uint8)
    shades = {'body': 1.0, 'dark': 0.72, 'light': 1.0}
    line = max(1, round(_OUTLINE * max(half_w, half_h) * zoom))
    for part in parts:
        rings = [np.rint(((ring + centre - (x1, y1)) * zoom - 0.5) * 16).astype(np.int32) for ring in part.rings]
        base = np.asarray(colour if isinstance(part.paint, str) else part.paint, np.float64)
        fill = base * shades.get(part.paint, 1.0) if isinstance(part.paint, str) else base
        if part.paint == 'light':
            fill = base + (255 - base) * 0.5
        cv2.fillPoly(paint, rings, fill.tolist(), shift=4)
        cv2.fillPoly(cover, rings, 255, shift=4)
        # The ink line keeps objects apart from a ground of their own colour; highlights go without one.
        if part.paint != 'light':
            cv2.polylines(paint, rings, True, (base * 0.38).tolist(), line, cv2.LINE_8, 4)
            cv2.polylines(cover, rings, True, 255, line, cv2.LINE_8, 4)
    width, height = x2 - x1, y2 - y1
    soft = cv2.resize(paint, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    across = (np.arange(x1, x2, dtype=np.float32) + 0.5 - centre[0]) / max(half_w, 1)
    down = (np.arange(y1, y2, dtype=np.float32) + 0.5 - centre[1]) / max(half_h, 1)
    shade = 1 - 0.17 * (np.cos(light) * across[None, :] + np.sin(light) * down[:, None])
    return Sprite(x1, y1, soft * shade[..., None].astype(np.float32), alpha)
