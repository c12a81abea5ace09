"""Five different true sentences about a scene.

The sentences follow a few patterns that speak of the same facts, the largest objects first, so that references of one
picture share phrases and a model that sees the picture can agree with them:

1. *A red car and a blue ball on the grass under a cloudy sky.*
2. *Under a cloudy sky, there are a red car and a blue ball on the grass.*
3. *A red car is to the left of a blue ball on the grass.* (or where it is in the picture)
4. *There are three objects and the largest is a red car.* (or the crowd)
5. *A picture of the grass and a cloudy sky with a red car, a blue ball and a pink star.*
"""

from typing import NamedTuple

import numpy as np

from .classes import CATEGORY_ID, STUFF, STUFF_IDS, THINGS, Thing
from .scene import Scene

_NUMBERS = ('no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten')
_PHRASE = {index: stuff.phrase for index, stuff in zip(STUFF_IDS, STUFF, strict=True)}
_SKIES = {index for index, stuff in zip(STUFF_IDS, STUFF, strict=True) if stuff.supercategory == 'sky'}
_WALL = CATEGORY_ID['brick-wall']


class _Seen(NamedTuple):
    """One object as it is seen: index of its segment, box (x1, y1, x2, y2) px, area px, indices of what it hides."""

    segment: int
    box: tuple[int, int, int, int]
    area: int
    covers: list[int]


class _Group(NamedTuple):
    """Objects of one kind and colour, the largest first; ``place`` is their common support or None."""

    thing: Thing
    colour: str
    members: list[_Seen]
    place: int | None

    @property
    def phrase(self) -> str:
        count = len(self.members)
        if count > 1:
            return f'{_NUMBERS[count]} {self.colour} {self.thing.plural}'
        return f'{"an" if self.colour[0] in "aeiou" else "a"} {self.colour} {self.thing.name}'


def write_captions(scene: Scene, rng: np.random.Generator) -> list[str]:
    """Five sentences, all different, in a fixed order of patterns (see the module's head).

    Args:
        scene: A scene of :func:`~mmyolor_mtl.datasets.shapes.generate_scene`.
        rng: Chooses between ways of saying the same.
    """
    groups, crowd = _groups(scene)
    backdrop, ground = CATEGORY_ID[scene.backdrop], CATEGORY_ID[scene.ground]
    if not groups and crowd is None:
        sentences = _nothing(_PHRASE[ground], _PHRASE[backdrop], backdrop == _WALL)
    elif not groups:
        sentences = _only_crowd(crowd, ground, backdrop)
    else:
        sentences = [
            _plain(groups[:2], ground, backdrop),
            _inverted(_second_choice(groups), ground, backdrop),
            _relation(groups, scene.id_map.shape[1], ground, backdrop),
            _counted(groups, crowd, ground, backdrop),
            _listed(groups, scene, rng),
        ]
    return [sentence[0].upper() + sentence[1:] + '.' for sentence in sentences]


def _groups(scene: Scene) -> tuple[list[_Group], Thing | None]:
    """Objects by kind and colour, the one with the largest member first; and the kind of the crowd, if any."""
    crowd = None
    gathered: dict[tuple[int, str], list[tuple[_Seen, int | None]]] = {}
    for segment in scene.segments:
        if segment.crowd:
            crowd = THINGS[segment.category_id - 1]
        elif segment.is_thing:
            mask = scene.id_map == segment.index
            rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = (int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1)
            seen = _Seen(segment.index, box, int(mask.sum()), segment.covers)
            gathered.setdefault((segment.category_id, str(segment.colour)), []).append((seen, segment.support))
    groups = []
    for (category, colour), found in gathered.items():
        places = {support for _, support in found}
        members = sorted((seen for seen, _ in found), key=lambda seen: -seen.area)
        groups.append(_Group(THINGS[category - 1], colour, members, places.pop() if len(places) == 1 else None))
    return sorted(groups, key=lambda group: -group.members[0].area), crowd


def _at(place: int | None) -> str:
    """'on the grass', 'in a clear sky', 'in front of a brick wall', or nothing."""
    if place is None:
        return ''
    if place == _WALL:
        return ' in front of a brick wall'
    return f' {"in" if place in _SKIES or place == CATEGORY_ID["water"] else "on"} {_PHRASE[place]}'


def _before(backdrop: int) -> str:
    return ' in front of a brick wall' if backdrop == _WALL else f' under {_PHRASE[backdrop]}'


def _and(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f'{", ".join(phrases[:-1])} and {phrases[-1]}'


def _there_are(groups: list[_Group]) -> str:
    return f'there {"are" if len(groups[0].members) > 1 else "is"}'


def _common(groups: list[_Group]) -> int | None:
    places = {group.place for group in groups}
    return places.pop() if len(places) == 1 else None


def _second_choice(groups: list[_Group]) -> list[_Group]:
    """The two to speak of a second time: the third replaces the second where it is nearly as large."""
    if len(groups) > 2 and groups[2].members[0].area >= 0.7 * groups[1].members[0].area:
        return [groups[0], groups[2]]
    return groups[:2]


def _plain(groups: list[_Group], ground: int, backdrop: int) -> str:
    place, names = _common(groups), _and([group.phrase for group in groups])
    if place == backdrop:
        return f'{names}{_at(place)} above {_PHRASE[ground]}'
    if place is not None:
        return f'{names}{_at(place)}{_before(backdrop)}'
    ends = '' if any(group.place == backdrop for group in groups) else _before(backdrop)
    return ' and '.join(group.phrase + _at(group.place) for group in groups) + ends


def _inverted(groups: list[_Group], ground: int, backdrop: int) -> str:
    place, names = _common(groups), _and([group.phrase for group in groups])
    if place == backdrop:
        return f'above {_PHRASE[ground]}, {_there_are(groups)} {names}{_at(place)}'
    if place is not None:
        return f'{_before(backdrop).strip()}, {_there_are(groups)} {names}{_at(place)}'
    return f'{_there_are(groups)} ' + ' and '.join(group.phrase + _at(group.place) for group in groups)


def _relation(groups: list[_Group], width: int, ground: int, backdrop: int) -> str:
    """Two objects to each other or, failing that, the largest in the picture."""
    single = [group for group in groups[:3] if len(group.members) == 1]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        if b >= len(single):
            continue
        words = relation(single[a].members[0], single[b].members[0])
        if words:
            place = _common([single[a], single[b]])
            return f'{single[a].phrase} is {words} {single[b].phrase}{_at(place) or _before(backdrop)}'
    first = groups[0]
    if len(first.members) > 1:
        return f'{_there_are(groups)} {first.phrase}{_at(first.place)} in the picture'
    box = first.members[0].box
    middle = (box[0] + box[2]) / 2 / width
    side = 'on the left of' if middle < 0.38 else 'on the right of' if middle > 0.62 else 'in the middle of'
    return f'{first.phrase} is {side} the picture{_at(first.place)}'


def relation(a: _Seen, b: _Seen) -> str | None:
    """How object ``a`` lies to object ``b``: who hides whom, else the axis on which their boxes are apart."""
    if b.segment in a.covers:
        return 'in front of'
    if a.segment in b.covers:
        return 'behind'
    dx = ((b.box[0] + b.box[2]) - (a.box[0] + a.box[2])) / 2
    dy = ((b.box[1] + b.box[3]) - (a.box[1] + a.box[3])) / 2
    if abs(dx) >= abs(dy):
        apart = max(b.box[0] - a.box[2], a.box[0] - b.box[2]) >= 0
        return ('to the left of' if dx > 0 else 'to the right of') if apart else None
    apart = max(b.box[1] - a.box[3], a.box[1] - b.box[3]) >= 0
    return ('above' if dy > 0 else 'below') if apart else None


def _counted(groups: list[_Group], crowd: Thing | None, ground: int, backdrop: int) -> str:
    largest = groups[0]
    one = _Group(largest.thing, largest.colour, largest.members[:1], largest.place).phrase
    if crowd is not None:
        return f'a crowd of tiny {crowd.plural} and {largest.phrase}{_before(backdrop)}'
    total = sum(len(group.members) for group in groups)
    if total == 1:
        return f'there is one object and it is {one}{_at(largest.place)}'
    where = _at(largest.place) if len(largest.members) == 1 else ''
    return f'there are {_NUMBERS[total]} objects and the largest is {one}{where}'


def _listed(groups: list[_Group], scene: Scene, rng: np.random.Generator) -> str:
    told = groups[:3]
    if len(told) > 1 and told[1].members[0].area >= 0.6 * told[0].members[0].area:
        told = [told[1], told[0], *told[2:]]
    names = [_PHRASE[CATEGORY_ID[scene.ground]]]
    mountain = [segment for segment in scene.segments if segment.category_id == CATEGORY_ID['mountain']]
    if mountain and np.mean(scene.id_map == mountain[0].index) >= 0.02:
        names.append(_PHRASE[CATEGORY_ID['mountain']])
    names.append(_PHRASE[CATEGORY_ID[scene.backdrop]])
    start = ('a picture of', 'a scene of')[int(rng.integers(2))]
    return f'{start} {_and(names)} with {_and([group.phrase for group in told])}'


def _nothing(ground: str, backdrop: str, wall: bool) -> list[str]:
    under = f'in front of {backdrop}' if wall else f'under {backdrop}'
    return [
        f'an empty scene of {ground} {under}',
        f'there is nothing on {ground} {under}' if ground != 'the water' else f'there is nothing in {ground} {under}',
        f'{under}, there is nothing but {ground}',
        f'a picture of {ground} and {backdrop} with no objects',
        f'a scene of {ground} and {backdrop} with nothing else',
    ]


def _only_crowd(crowd: Thing | None, ground: int, backdrop: int) -> list[str]:
    assert crowd is not None
    many, under, base, back = (
        f'a crowd of tiny {crowd.plural}',
        _before(backdrop).strip(),
        _PHRASE[ground],
        _PHRASE[backdrop],
    )
    return [
        f'{many} {under}',
        f'{under}, there is {many}',
        f'there are many tiny {crowd.plural} {under}',
        f'a picture of {base} and {back} with {many}',
        f'a scene of {base} and {back} with many tiny {crowd.plural}',
    ]
