"""Textures of the stuff classes: each fills a whole canvas, the scene cuts out the region it needs.

Every painter takes ``(h, w, unit, rng)``: canvas size in px, the length of one drawing unit in px (shorter image side
/ 192) and a generator; it returns float32 RGB (h, w, 3), values around 0..255 (the scene clips at the end).
"""

import cv2
import numpy as np

Rng = np.random.Generator


def value_noise(h: int, w: int, cell_x: float, cell_y: float, rng: Rng) -> np.ndarray:
    """Smooth noise (h, w) in about 0..1 whose blobs are ``cell_x`` x ``cell_y`` px."""
    rows, cols = (max(2, round(side / max(cell, 1.0)) + 1) for side, cell in ((h, cell_y), (w, cell_x)))
    return cv2.resize(rng.random((rows, cols), dtype=np.float32), (w, h), interpolation=cv2.INTER_CUBIC)


def _fractal(h: int, w: int, cell: float, rng: Rng, stretch: float = 1.0) -> np.ndarray:
    """Four octaves of noise, about 0..1; ``stretch`` > 1 makes the blobs wider than high."""
    total = np.zeros((h, w), np.float32)
    for octave, weight in enumerate((0.5, 0.27, 0.15, 0.08)):
        size = cell / 2**octave
        total += weight * value_noise(h, w, size * stretch, size, rng)
    return total


def _mix(low: tuple[float, ...], high: tuple[float, ...], t: np.ndarray) -> np.ndarray:
    """Colour ramp from ``low`` to ``high`` by ``t`` (h, w) in 0..1."""
    out = np.empty((*t.shape, 3), np.float32)
    for channel, (a, b) in enumerate(zip(low, high, strict=True)):
        np.multiply(t, b - a, out=out[..., channel])
        out[..., channel] += a
    return out


def _rows(h: int, w: int) -> np.ndarray:
    """0 at the top to 1 at the bottom, (h, w)."""
    return np.broadcast_to(np.linspace(0, 1, h, dtype=np.float32)[:, None], (h, w))


def _grass(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    blades = value_noise(h, w, 1.5 * unit, 7 * unit, rng)
    return _mix((52, 104, 30), (128, 186, 66), 0.6 * blades + 0.4 * _fractal(h, w, 30 * unit, rng))


def _sand(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    bend = _fractal(h, w, 44 * unit, rng, stretch=1.5)
    y = np.arange(h, dtype=np.float32)[:, None] / unit
    ripple = 0.5 + 0.5 * np.sin(y * 0.75 + bend * 16)
    return _mix((206, 174, 112), (242, 218, 164), 0.45 * ripple + 0.55 * value_noise(h, w, unit, unit, rng))


def _water(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    bend = _fractal(h, w, 30 * unit, rng, stretch=2.5)
    y = np.arange(h, dtype=np.float32)[:, None] / unit
    wave = 0.5 + 0.5 * np.sin(y * 0.9 + bend * 13)
    image = _mix((12, 84, 128), (40, 138, 168), 0.5 * wave + 0.5 * _fractal(h, w, 50 * unit, rng))
    glint = np.clip(wave - 0.86, 0, 1) * np.clip(3 * _fractal(h, w, 16 * unit, rng, stretch=2.5) - 1, 0, 1)
    return image + glint[..., None] * np.float32(640)


def _snow(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    image = _mix((196, 212, 236), (250, 252, 255), np.clip(1.5 * _fractal(h, w, 46 * unit, rng, 2.0) - 0.1, 0, 1))
    return image + ((value_noise(h, w, unit, unit, rng) > 0.94) * np.float32(26))[..., None]


def _road(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    grain = 0.75 * value_noise(h, w, unit, unit, rng) + 0.25 * _fractal(h, w, 40 * unit, rng)
    image = _mix((66, 66, 70), (118, 116, 116), grain)
    # Dashed lane marks, in rows that get wider apart towards the viewer.
    x, y = np.arange(w, dtype=np.float32)[None, :] / unit, np.arange(h, dtype=np.float32)[:, None] / unit
    shift, lane, gap = rng.uniform(0, 40), rng.uniform(0, 20), rng.uniform(40, 52)
    marks = (np.mod(y + lane, gap) < 3.2) & (np.mod(x + shift, 34) < 20)
    image[np.broadcast_to(marks, (h, w))] = (222, 220, 206)
    return image


def _wood(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    x, y = np.arange(w, dtype=np.float32)[None, :] / unit, np.arange(h, dtype=np.float32)[:, None] / unit
    plank = 13.0
    row = np.floor(y / plank).astype(int)
    tones = rng.random(int(row.max()) + 1, dtype=np.float32)
    starts = rng.uniform(0, 90, int(row.max()) + 1).astype(np.float32)
    grain = value_noise(h, w, 26 * unit, 1.6 * unit, rng)
    image = _mix((134, 84, 42), (198, 142, 84), 0.5 * tones[row] + 0.5 * grain)
    seams = (np.mod(y, plank) < 1.2) | (np.mod(x + starts[row], 90) < 1.2)
    image[seams] = (84, 50, 26)
    return image


def _clear_sky(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    haze = 0.12 * _fractal(h, w, 70 * unit, rng, 3.0)
    return _mix((66, 136, 226), (176, 216, 248), np.clip(1.5 * _rows(h, w) + haze - 0.05, 0, 1))


def _cloudy_sky(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    puffs = np.clip((_fractal(h, w, 34 * unit, rng, 1.9) - 0.38) * 4.2, 0, 1)
    return _mix((122, 142, 168), (240, 242, 244), puffs) - 26 * value_noise(h, w, 20 * unit, 9 * unit, rng)[..., None]


def _sunset_sky(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    down = np.clip(1.7 * _rows(h, w), 0, 1)
    image = np.where(
        down[..., None] < 0.5,
        _mix((112, 62, 122), (232, 106, 92), np.clip(2 * down, 0, 1)),
        _mix((232, 106, 92), (255, 196, 112), np.clip(2 * down - 1, 0, 1)),
    )
    streaks = np.clip((_fractal(h, w, 15 * unit, rng, 6.0) - 0.5) * 4, 0, 1)
    return image + streaks[..., None] * np.float32((34, 26, 22))


def _night_sky(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    image = _mix((10, 12, 40), (42, 46, 98), np.clip(1.3 * _rows(h, w) + 0.3 * _fractal(h, w, 60 * unit, rng), 0, 1))
    count = max(4, int(h * w / (unit * unit) / 320))
    spots = np.zeros((h, w), np.float32)
    spots[rng.integers(0, h, count), rng.integers(0, w, count)] = rng.uniform(0.5, 1, count)
    if unit > 1.5:
        spots = cv2.dilate(spots, np.ones((round(unit), round(unit)), np.uint8))
    return image + spots[..., None] * np.float32((210, 210, 190))


def _brick_wall(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    x, y = np.arange(w, dtype=np.float32)[None, :] / unit, np.arange(h, dtype=np.float32)[:, None] / unit
    high, long = 9.0, 21.0
    row = np.floor(y / high).astype(int)
    along = x + (row % 2) * (long / 2)
    column = np.floor(along / long).astype(int)
    tones = rng.random((int(row.max()) + 1, int(column.max()) + 1), dtype=np.float32)[row, column]
    image = _mix((128, 54, 42), (188, 98, 74), 0.65 * tones + 0.35 * value_noise(h, w, 2 * unit, 2 * unit, rng))
    mortar = (np.mod(y, high) < 1.4) | (np.mod(along, long) < 1.4)
    image[mortar] = (202, 190, 176)
    return image


def _mountain(h: int, w: int, unit: float, rng: Rng) -> np.ndarray:
    rock = _fractal(h, w, 18 * unit, rng, 0.6)
    return _mix((70, 62, 84), (152, 140, 150), rock)


TEXTURES = {
    'grass': _grass,
    'sand': _sand,
    'water': _water,
    'snow': _snow,
    'road': _road,
    'wood': _wood,
    'clear-sky': _clear_sky,
    'cloudy-sky': _cloudy_sky,
    'sunset-sky': _sunset_sky,
    'night-sky': _night_sky,
    'brick-wall': _brick_wall,
    'mountain': _mountain,
}
