"""Scenes: objects placed on a ground plan, drawn with light and noise, and one id map from which all labels follow."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from .classes import CATEGORY_ID, COLOURS, STUFF, STUFF_IDS, THINGS, Thing
from .layout import Layout, make_layout
from .sprites import DRAWINGS, Part, Sprite, draw, extent, transformed

Rng = np.random.Generator

SPLITS = ('train', 'val')
MIN_SIZE, MAX_SIZE = 32, 4096

_EMPTY_SHARE, _CROWD_SHARE, _SMALL_SHARE, _TWIN_SHARE, _BESIDE_SHARE = 0.05, 0.07, 0.08, 0.25, 0.35
_COUNTS = {1: 0.16, 2: 0.26, 3: 0.24, 4: 0.17, 5: 0.1, 6: 0.07}
_BACKDROPS = {index for index, stuff in zip(STUFF_IDS, STUFF, strict=True) if stuff.supercategory in ('sky', 'wall')}
_GROUNDS = {index for index, stuff in zip(STUFF_IDS, STUFF, strict=True) if stuff.supercategory == 'ground'}
_CROWDS = {'land': ('mushroom', 'tree'), 'water': ('fish', 'boat'), 'air': ('balloon', 'kite')}


@dataclass
class Segment:
    """One labelled region of the id map.

    Attributes:
        index: Its value in the id map, from 1.
        category_id: Category of the region.
        colour: Colour name of a thing, None for stuff and crowds.
        crowd: Whether the region is a group of many things that are not told apart.
        support: Category id of the stuff that a thing stands or floats on, or that it is seen before in the air; None
            for stuff, and where a thing in the air is seen before something else as much.
        covers: Indices of the things behind this one that it hides in part.
    """

    index: int
    category_id: int
    colour: str | None = None
    crowd: bool = False
    support: int | None = None
    covers: list[int] = field(default_factory=list)

    @property
    def is_thing(self) -> bool:
        """Whether the region is a thing or a crowd of things, not stuff."""
        return self.category_id <= len(THINGS)


@dataclass
class Scene:
    """A picture with everything that is true of it.

    Attributes:
        image: uint8 (h, w, 3) RGB.
        id_map: int32 (h, w), index of the segment seen at each pixel; 0 = unlabelled.
        segments: Every segment that is seen, stuff first, things from back to front.
        ground: Stuff class of the ground.
        backdrop: Stuff class of the sky or wall.
    """

    image: np.ndarray
    id_map: np.ndarray
    segments: list[Segment]
    ground: str
    backdrop: str


@dataclass
class _Item:
    thing: Thing
    place: str
    colour: str
    sprite: Sprite
    box: tuple[float, float, float, float]
    support: int


def generate_scene(seed: int, split: str, index: int, height: int, width: int) -> Scene:
    """Draw one scene; equal arguments give equal scenes, whatever was drawn before.

    Args:
        seed: Seed of the data set, at least 0.
        split: 'train' or 'val'; the two never share a scene.
        index: Number of the scene in its split, from 0.
        height: Image height, px, 32 to 4096.
        width: Image width, px, 32 to 4096.

    Raises:
        ValueError: An argument is out of its range.
    """
    if split not in SPLITS:
        raise ValueError(f'split must be one of {SPLITS}, got {split!r}')
    if seed < 0 or index < 0:
        raise ValueError(f'seed and index must not be negative, got seed={seed}, index={index}')
    for name, side in (('height', height), ('width', width)):
        if not MIN_SIZE <= side <= MAX_SIZE:
            raise ValueError(f'{name}={side}: scenes are {MIN_SIZE} to {MAX_SIZE} px a side')
    attempt = 0
    while True:
        rng = np.random.default_rng([seed, SPLITS.index(split), index, attempt])
        scene = _compose(height, width, rng)
        areas = {segment.category_id: np.mean(scene.id_map == segment.index) for segment in scene.segments}
        # Captions speak of ground and backdrop, so a scene in which either is hardly seen is drawn anew.
        if min(areas.get(CATEGORY_ID[name], 0.0) for name in (scene.ground, scene.backdrop)) >= 0.03:
            return scene
        attempt += 1


def _compose(height: int, width: int, rng: Rng) -> Scene:
    layout = make_layout(height, width, rng)
    items: list[_Item] = []
    crowd: list[_Item] = []
    light = float(rng.uniform(-np.pi * 0.85, -np.pi * 0.15))
    if rng.random() >= _EMPTY_SHARE:
        if rng.random() < _CROWD_SHARE:
            crowd = _place_crowd(layout, light, rng)
        items = _place_items(layout, crowd, light, rng)
    # Painter's order: what floats, then what stands, the nearest (lowest base) last.
    items.sort(key=lambda item: (item.place != 'air', item.box[3]))
    while True:
        id_map, segments, hidden = _label(layout, crowd, items)
        if not hidden:
            break
        items = [item for number, item in enumerate(items) if number not in hidden]
    image = _light(_paint(layout, crowd, items), layout, light, rng)
    return Scene(image, id_map, segments, layout.ground, layout.backdrop)


def _place_items(layout: Layout, crowd: list[_Item], light: float, rng: Rng) -> list[_Item]:
    ground = 'water' if layout.ground == 'water' else 'land'
    options = [(thing, place) for thing in THINGS for place in thing.places if place in (ground, 'air')]
    # Kinds with one home are drawn more often there, so that all kinds come about equally often.
    weights = np.array([_weight(thing, place) for thing, place in options])
    items: list[_Item] = []
    for _ in range(int(rng.choice(list(_COUNTS), p=list(_COUNTS.values())))):
        if items and rng.random() < _TWIN_SHARE:
            twin = items[int(rng.integers(len(items)))]
            thing, place, colour = twin.thing, twin.place, twin.colour
        else:
            thing, place = options[int(rng.choice(len(options), p=weights / weights.sum()))]
            colour = str(rng.choice(thing.colours))
        item = _place(layout, thing, place, colour, light, items, crowd, rng)
        if item is not None:
            items.append(item)
    return items


def _weight(thing: Thing, place: str) -> float:
    if thing.places == ('water',):
        return 3.2
    return 1.0 if len(thing.places) == 1 else 0.7


def _place(
    layout: Layout,
    thing: Thing,
    place: str,
    colour: str,
    light: float,
    others: list[_Item],
    crowd: list[_Item],
    rng: Rng,
) -> _Item | None:
    """Find a free place for an object; None when twelve tries found none."""
    side = min(layout.stuff.shape)
    for _ in range(12):
        low, high = (0.058, 0.085) if rng.random() < _SMALL_SHARE else (0.2, 0.54)
        share = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        parts = _outline(thing, max(5.0, share * side), rng)
        spot = _spot(layout, place, parts, others, rng)
        if spot is None:
            continue
        half_w, half_h = extent(parts)
        box = (spot[0] - half_w, spot[1] - half_h, spot[0] + half_w, spot[1] + half_h)
        support = _support(layout, place, box)
        if support is None or any(_overlap(box, other.box) > 0.36 for other in [*others, *crowd]):
            continue
        sprite = draw(parts, COLOURS[colour], spot, layout.stuff.shape, light)
        if sprite is not None:
            return _Item(thing, place, colour, sprite, box, support)
    return None


def _outline(thing: Thing, size: float, rng: Rng) -> list[Part]:
    angle = float(rng.uniform(-thing.tilt, thing.tilt))
    return transformed(DRAWINGS[thing.name](rng), angle, bool(rng.random() < 0.5), size)


def _spot(layout: Layout, place: str, parts: list[Part], others: list[_Item], rng: Rng) -> tuple[float, float] | None:
    """Centre for an object, or None when it does not fit: its base on the ground or all of it in the air."""
    height, width = layout.stuff.shape
    half_w, half_h = extent(parts)
    inset = half_w * (0.55 if rng.random() < 0.12 else 1.03)
    if others and rng.random() < _BESIDE_SHARE:
        anchor = others[int(rng.integers(len(others)))].box
        x = (anchor[0] + anchor[2]) / 2 + rng.choice((-1, 1)) * rng.uniform(0.5, 0.9) * (
            half_w + (anchor[2] - anchor[0]) / 2
        )
    else:
        x = rng.uniform(inset, width - inset) if inset < width - inset else width / 2
    if not inset <= x <= width - inset:
        return None
    columns = layout.horizon[max(0, int(x - half_w)) : min(width, int(x + half_w) + 1)]
    gap = 2 * layout.unit
    if place == 'air':
        top, bottom = half_h * 1.03, columns.min() - gap - half_h
    else:
        top, bottom = columns.max() + gap + 0.3 * half_h - half_h, height - gap - half_h
        top = max(top, half_h * 1.03)
    return (float(x), float(rng.uniform(top, bottom))) if top < bottom else None


def _support(layout: Layout, place: str, box: tuple[float, float, float, float]) -> int | None:
    """Category id of the stuff under the base (or, in the air, behind the object) where nearly all of it is one."""
    height, width = layout.stuff.shape
    x1, x2 = max(0, int(box[0])), min(width, int(box[2]) + 1)
    if place == 'air':
        region = layout.stuff[max(0, int(box[1])) : int(box[3]) + 1, x1:x2]
    else:
        base = min(height - 1, int(box[3]))
        region = layout.stuff[max(0, base - 1) : base + 2, x1:x2]
    found, counts = np.unique(region, return_counts=True)
    best = int(found[counts.argmax()])
    wanted = _BACKDROPS if place == 'air' else _GROUNDS
    if best not in wanted or counts.max() < 0.7 * counts.sum():
        return None
    wet = best == CATEGORY_ID['water']
    return best if place == 'air' or wet == (place == 'water') else None


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection of two boxes over the smaller one."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return w * h / smaller if w > 0 and h > 0 else 0.0


def _place_crowd(layout: Layout, light: float, rng: Rng) -> list[_Item]:
    """Many tiny objects of one kind close together, in all colours."""
    places = ['water' if layout.ground == 'water' else 'land', 'air']
    place = str(rng.choice(places))
    thing = THINGS[CATEGORY_ID[str(rng.choice(_CROWDS[place]))] - 1]
    height, width = layout.stuff.shape
    side = min(height, width)
    if place == 'air':
        cy = rng.uniform(0.3, 0.6) * layout.horizon.min()
        spread_y = 0.3 * layout.horizon.min()
    else:
        low = layout.horizon.max()
        cy, spread_y = low + rng.uniform(0.4, 0.7) * (height - low), 0.22 * (height - low)
    cx = rng.uniform(0.25, 0.75) * width
    members: list[_Item] = []
    for _ in range(int(rng.integers(20, 40))):
        parts = _outline(thing, max(4.0, rng.uniform(0.035, 0.055) * side), rng)
        half_w, half_h = extent(parts)
        x, y = cx + rng.uniform(-0.2, 0.2) * side, cy + rng.uniform(-1, 1) * spread_y
        box = (x - half_w, y - half_h, x + half_w, y + half_h)
        support = _support(layout, place, box) if box[0] >= 0 and box[2] < width else None
        if support is None or any(_overlap(box, other.box) > 0.3 for other in members):
            continue
        colour = str(rng.choice(thing.colours))
        sprite = draw(parts, COLOURS[colour], (x, y), layout.stuff.shape, light)
        if sprite is not None:
            members.append(_Item(thing, place, colour, sprite, box, support))
    members.sort(key=lambda item: item.box[3])
    return members if len(members) >= 8 else []


def _label(layout: Layout, crowd: list[_Item], items: list[_Item]) -> tuple[np.ndarray, list[Segment], set[int]]:
    """Id map, its segments, and the numbers of items of which too little is seen to count as labelled."""
    known = np.unique(layout.stuff)
    lookup = np.zeros(256, np.int32)
    segments: list[Segment] = []
    for category in known[known > 0]:
        segments.append(Segment(len(segments) + 1, int(category)))
        lookup[category] = len(segments)
    id_map = lookup[layout.stuff]
    num_stuff = len(segments)
    if crowd:
        supports = {item.support for item in crowd}
        category = CATEGORY_ID[crowd[0].thing.name]
        support = supports.pop() if len(supports) == 1 else None
        segments.append(Segment(len(segments) + 1, category, crowd=True, support=support))
        for item in crowd:
            id_map[item.sprite.window][item.sprite.alpha >= 0.5] = len(segments)
    first = len(segments) + 1
    whole: list[np.ndarray] = []
    for item in items:
        segment = Segment(len(segments) + 1, CATEGORY_ID[item.thing.name], item.colour, support=item.support)
        mask = item.sprite.alpha >= 0.5
        patch = id_map[item.sprite.window]
        touched, counts = np.unique(patch[mask], return_counts=True)
        for other, count in zip(touched.tolist(), counts.tolist(), strict=True):
            if other >= first and count >= 0.06 * whole[other - first].sum():
                segment.covers.append(other)
        patch[mask] = segment.index
        whole.append(mask)
        segments.append(segment)
    for item, segment in zip(items, segments[first - 1 :], strict=True):
        if item.place == 'air' and not _seen_before(item, lookup[item.support], id_map, num_stuff):
            segment.support = None
    areas = np.bincount(id_map.ravel(), minlength=len(segments) + 1)
    hidden = {number for number, mask in enumerate(whole) if areas[first + number] < max(6, 0.45 * mask.sum())}
    return id_map, [segment for segment in segments if areas[segment.index] > 0], hidden


def _seen_before(item: _Item, support: int, id_map: np.ndarray, num_stuff: int) -> bool:
    """Whether most of the stuff seen around an object is its support: it may itself hide what it is before."""
    x1, y1, x2, y2 = (int(side) for side in item.box)
    around = id_map[max(0, y1 - 1) : y2 + 2, max(0, x1 - 1) : x2 + 2]
    around = around[(around > 0) & (around <= num_stuff)]
    return bool(np.mean(around == support) >= 0.6) if around.size else True


def _paint(layout: Layout, crowd: list[_Item], items: list[_Item]) -> np.ndarray:
    image = layout.image
    for item in items:
        if item.place != 'air':
            _shadow(image, item, layout.unit)
    for item in [*crowd, *items]:
        patch = image[item.sprite.window]
        patch *= 1 - item.sprite.alpha[..., None]
        patch += item.sprite.colour
    return image


def _shadow(image: np.ndarray, item: _Item, unit: float) -> None:
    """Darken the ground under an object."""
    height, width = image.shape[:2]
    cx, half = (item.box[0] + item.box[2]) / 2, 0.5 * (item.box[2] - item.box[0])
    ry = 0.22 * half + unit
    x1, x2 = max(0, int(cx - 1.4 * half)), min(width, int(cx + 1.4 * half) + 1)
    y1, y2 = max(0, int(item.box[3] - 2.5 * ry)), min(height, int(item.box[3] + 2.5 * ry) + 1)
    rows, cols = np.arange(y1, y2)[:, None], np.arange(x1, x2)[None, :]
    away = ((cols - cx) / half) ** 2 + ((rows - item.box[3] + 0.5 * ry) / ry) ** 2
    image[y1:y2, x1:x2] *= (1 - 0.42 * np.exp(-1.6 * away**2))[..., None].astype(np.float32)


def _light(image: np.ndarray, layout: Layout, light: float, rng: Rng) -> np.ndarray:
    """Brightness, tint, a slope of light over the picture, a little blur and noise; uint8."""
    height, width = image.shape[:2]
    night = layout.backdrop == 'night-sky'
    gain = rng.uniform(0.62, 0.82) if night else rng.uniform(0.8, 1.1)
    tint = np.float32((0.93, 0.96, 1.08)) if night else 1 + rng.uniform(-0.04, 0.04, 3).astype(np.float32)
    if layout.backdrop == 'sunset-sky':
        tint = tint * np.float32((1.06, 0.98, 0.92))
    across, down = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
    slope = 1 - 0.09 * (np.cos(light) * across[None, :] + np.sin(light) * down[:, None])
    out = image * (slope[..., None] * (gain * tint).astype(np.float32))
    blur = rng.uniform(0, 0.55)
    if blur > 0.3:
        out = cv2.GaussianBlur(out, (0, 0), float(blur))
    # One row of noise read at three offsets: as good as three independent planes, at a third of the cost.
    noise = rng.standard_normal(height * width + 2 * 4099, dtype=np.float32) * np.float32(rng.uniform(1.0, 6.0))
    for channel in range(3):
        out[..., channel] += noise[channel * 4099 :][: height * width].reshape(height, width)
    return (np.clip(out, 0, 255, out=out) + 0.5).astype(np.uint8)
