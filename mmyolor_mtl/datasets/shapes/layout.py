"""The ground plan of a scene: which stuff lies where, before any object is placed."""

from dataclasses import dataclass

import cv2
import numpy as np

from .classes import CATEGORY_ID
from .textures import TEXTURES, value_noise

Rng = np.random.Generator

_SKIES = ('clear-sky', 'cloudy-sky', 'sunset-sky', 'night-sky')
_OUTDOOR = {'grass': 0.22, 'sand': 0.19, 'water': 0.26, 'snow': 0.2, 'road': 0.13}
_INDOOR = {'wood': 0.62, 'road': 0.19, 'grass': 0.19}
_WALL_SHARE, _MOUNTAIN_SHARE, _PATCH_SHARE, _EARTH_SHARE = 0.22, 0.3, 0.35, 0.1


@dataclass
class Layout:
    """Stuff of one scene.

    Attributes:
        ground: Stuff class of the ground.
        backdrop: Stuff class above the horizon (a sky or the wall).
        stuff: uint8 (h, w) category ids of stuff, 0 where the pixel has no label.
        image: float32 (h, w, 3) RGB, the painted ground plan.
        horizon: (w,) row of the horizon in every column, px.
        unit: Shorter image side / 192, px.
    """

    ground: str
    backdrop: str
    stuff: np.ndarray
    image: np.ndarray
    horizon: np.ndarray
    unit: float


def _pick(weights: dict[str, float], rng: Rng) -> str:
    return str(rng.choice(list(weights), p=list(weights.values())))


def make_layout(height: int, width: int, rng: Rng) -> Layout:
    """Draw horizon, ground, backdrop and what lies between them.

    Args:
        height: Image height, px.
        width: Image width, px.
        rng: Source of every choice.
    """
    unit = min(height, width) / 192
    indoor = rng.random() < _WALL_SHARE
    backdrop = 'brick-wall' if indoor else str(rng.choice(_SKIES))
    ground = _pick(_INDOOR if indoor else _OUTDOOR, rng)
    flat = indoor or ground in ('water', 'road')
    horizon = _horizon(height, width, unit, flat, rng)

    below = np.arange(height)[:, None] >= horizon[None, :]
    stuff = np.where(below, CATEGORY_ID[ground], CATEGORY_ID[backdrop]).astype(np.uint8)
    layout = Layout(ground, backdrop, stuff, TEXTURES[backdrop](height, width, unit, rng), horizon, unit)
    if not indoor and rng.random() < _MOUNTAIN_SHARE:
        _add_mountain(layout, rng)
    _fill(layout, below, TEXTURES[ground](height, width, unit, rng))
    shade = np.clip((np.arange(height)[:, None] - horizon[None, :]) / (0.5 * height), 0, 1)
    layout.image[below] *= (0.86 + 0.14 * shade[below])[:, None].astype(np.float32)
    if not indoor and ground in ('grass', 'sand', 'snow') and rng.random() < _PATCH_SHARE:
        _add_patch(layout, rng)
    if not indoor and ground != 'water' and rng.random() < _EARTH_SHARE:
        _add_earth(layout, rng)
    return layout


def _horizon(height: int, width: int, unit: float, flat: bool, rng: Rng) -> np.ndarray:
    level = rng.uniform(0.36, 0.6) * height
    if flat:
        return np.full(width, round(level))
    x = np.linspace(0, 1, width)
    waves = rng.uniform(2, 7) * unit * np.sin(2 * np.pi * (rng.uniform(0.5, 1.6) * x + rng.random()))
    slope = rng.uniform(-9, 9) * unit * (x - 0.5)
    return np.rint(level + waves + slope).astype(int)


def _fill(layout: Layout, region: np.ndarray, texture: np.ndarray, name: str | None = None) -> None:
    layout.image[region] = texture[region]
    if name is not None:
        layout.stuff[region] = CATEGORY_ID[name]


def _add_mountain(layout: Layout, rng: Rng) -> None:
    height, width = layout.stuff.shape
    base = float(layout.horizon.min())
    ridge = np.full(width, np.inf)
    x = np.arange(width)
    for _ in range(int(rng.integers(1, 4))):
        top, half = rng.uniform(0.25, 0.7) * base, rng.uniform(0.18, 0.42) * width
        ridge = np.minimum(ridge, top + (base - top) * np.abs(x - rng.uniform(0.05, 0.95) * width) / half)
    ridge += (value_noise(1, width, 9 * layout.unit, 1, rng)[0] - 0.5) * 7 * layout.unit
    rows = np.arange(height)[:, None]
    region = (rows >= ridge[None, :]) & (rows < layout.horizon[None, :])
    texture = TEXTURES['mountain'](height, width, layout.unit, rng)
    # A lit flank where the ridge rises to the right, and snow on what is high.
    flank = cv2.GaussianBlur(np.sign(np.gradient(ridge)).astype(np.float32)[None, :], (0, 0), 1 + layout.unit)
    texture += 16 * flank[..., None]
    snowline = 0.42 * base + 10 * layout.unit * value_noise(1, width, 5 * layout.unit, 1, rng)
    texture[rows < snowline] = 0.25 * texture[rows < snowline] + 0.75 * np.float32((236, 240, 248))
    _fill(layout, region, texture, 'mountain')


def _add_patch(layout: Layout, rng: Rng) -> None:
    """A pond, or a road across the ground."""
    height, width = layout.stuff.shape
    low = float(layout.horizon.max())
    room = height - low
    rows, cols = np.arange(height)[:, None], np.arange(width)[None, :]
    if rng.random() < 0.5:
        name, middle = 'road', low + rng.uniform(0.3, 0.75) * room
        tilt, half = rng.uniform(-0.12, 0.12), rng.uniform(0.13, 0.2) * room
        region = np.abs(rows - middle - tilt * (cols - width / 2)) < half
        region = region & (rows > layout.horizon[None, :] + 2 * layout.unit)
    else:
        name = 'water'
        cx, cy = rng.uniform(0.2, 0.8) * width, low + rng.uniform(0.35, 0.7) * room
        rx, ry = rng.uniform(0.2, 0.34) * width, rng.uniform(0.2, 0.3) * room
        edge = 0.85 + 0.3 * value_noise(height, width, 26 * layout.unit, 26 * layout.unit, rng)
        region = ((cols - cx) / rx) ** 2 + ((rows - cy) / ry) ** 2 < edge
        region = region & (rows > layout.horizon[None, :] + 2 * layout.unit)
    _fill(layout, region, TEXTURES[name](height, width, layout.unit, rng), name)


def _add_earth(layout: Layout, rng: Rng) -> None:
    """Lay a patch of bare earth on the ground: it belongs to no class, so its pixels stay unlabelled."""
    height, width = layout.stuff.shape
    unit = layout.unit
    low = float(layout.horizon.max())
    cx, cy = rng.uniform(0.1, 0.9) * width, low + rng.uniform(0.35, 0.8) * (height - low)
    rx, ry = rng.uniform(12, 26) * unit, rng.uniform(5, 10) * unit
    rows, cols = np.arange(height)[:, None], np.arange(width)[None, :]
    lumps = value_noise(height, width, 7 * unit, 7 * unit, rng)
    region = ((cols - cx) / rx) ** 2 + ((rows - cy) / ry) ** 2 < 0.7 + 0.6 * lumps
    region &= rows > layout.horizon[None, :]
    grain = 0.5 * lumps + 0.5 * value_noise(height, width, unit, unit, rng)
    layout.image[region] = (np.float32((62, 50, 44)) + grain[..., None] * np.float32((52, 44, 38)))[region]
    layout.stuff[region] = 0
