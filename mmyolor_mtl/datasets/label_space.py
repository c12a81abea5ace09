"""What can be labelled, and how files and semantic maps number it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

TASKS = ('det', 'ins', 'sem', 'cap')
VISION_TASKS = ('det', 'ins', 'sem')
UNLABELLED = 255
FOREIGN = 254  # stands for a value of a semantic map that belongs to no class

# How a pixel of a semantic PNG is written: as COCO-Stuff does it, as the id itself (0 = unlabelled), or as the position
# in the list of things, then stuff. 255 is unlabelled in all of them.
SEG_MAP_VALUES = ('category_id_minus_1', 'category_id', 'contiguous')

CLASS_KEYS = ('classes', 'thing_ids', 'stuff_classes', 'stuff_ids')
_SHOWN = 8


@dataclass(frozen=True)
class LabelMap:
    """Which label each category id of a data set's files stands for.

    Attributes:
        things: Category id of an object -> its label. Things that the model does not know are missing.
        pixels: Category id of any class of the files -> label of its pixels: things first, then stuff; ``UNLABELLED``
            for a class that the model does not know.
        thing_ids: Category ids that the files use for things.
        dropped: Names of the classes that the model does not know.
        lut: (256,) uint8, values of a semantic PNG to labels; a value of no class becomes ``FOREIGN``.
    """

    things: dict[int, int]
    pixels: dict[int, int]
    thing_ids: frozenset[int]
    dropped: tuple[str, ...] = ()
    lut: np.ndarray = field(default_factory=lambda: np.full(256, FOREIGN, dtype=np.uint8))


def check_classes(metainfo: Mapping) -> None:
    """Check names and ids that a model trains on.

    Args:
        metainfo (Mapping): With the keys ``CLASS_KEYS`` and optionally ``extra_classes``.

    Raises:
        ValueError: Names and ids do not go together, or ids are not distinct numbers from 1 to 254.
    """
    _check_lengths(metainfo, 'metainfo')
    used = [*metainfo['thing_ids'], *metainfo['stuff_ids']]
    if len(set(used)) != len(used) or (used and not 1 <= min(used) <= max(used) < UNLABELLED):
        raise ValueError(
            'thing_ids and stuff_ids of the metainfo must be distinct category ids in [1, 254]. If the files use '
            "other ids, choose some for the metainfo and let file_classes='file' find the classes by name"
        )
    if len(used) + len(metainfo.get('extra_classes') or ()) > FOREIGN:
        raise ValueError(f'the metainfo has {len(used)} classes and its extra_classes: more than {FOREIGN} in all')


def semantic_lut(metainfo: Mapping) -> np.ndarray:
    """Table from values of a semantic PNG (category id - 1, 255 = unlabelled) to contiguous ids.

    Args:
        metainfo (Mapping): With ``thing_ids`` and ``stuff_ids``.

    Returns:
        np.ndarray: (256,) uint8: things first, then stuff; 255 stays, ids of no class become ``FOREIGN``. The id after
        the last stuff id becomes the first of ``extra_classes``, if there are any (COCO: 183, *other*).
    """
    ids = [*metainfo['thing_ids'], *metainfo['stuff_ids']]
    if metainfo.get('extra_classes') and ids:
        ids.append(max(ids) + 1)
    return _lut(ids, range(len(ids)), 'category_id_minus_1')


def label_map(
    metainfo: Mapping, file_classes: Mapping | None = None, seg_map_values: str = 'category_id_minus_1'
) -> LabelMap:
    """Find out what the ids in a data set's files mean.

    Args:
        metainfo (Mapping): What the model trains on, see :func:`check_classes`.
        file_classes (Mapping, optional): Names and ids of the files, with the keys ``CLASS_KEYS``; classes are then
            mapped by name. None if the files use the ids of the metainfo.
        seg_map_values (str): How semantic PNGs are written, one of ``SEG_MAP_VALUES``.

    Returns:
        LabelMap: Its labels are positions in the metainfo's things, then stuff.

    Raises:
        ValueError: Names and ids do not go together, a name or an id occurs twice, or no name is known.
    """
    if file_classes is None:
        ids = [*metainfo['thing_ids'], *metainfo['stuff_ids']]
        pixels = dict(zip(ids, range(len(ids)), strict=True))
        things = {i: pixels[i] for i in metainfo['thing_ids']}
        if seg_map_values == 'category_id_minus_1':
            lut = semantic_lut(metainfo)
        else:
            lut = _lut(ids, range(len(ids)), seg_map_values)
        return LabelMap(things, pixels, frozenset(things), lut=lut)

    names, ids = _flatten(file_classes, 'file_classes')
    known = [*metainfo['classes'], *metainfo['stuff_classes']]
    _check_distinct(known, 'the metainfo')
    position = {name: label for label, name in enumerate(known)}
    labels = [position.get(name, UNLABELLED) for name in names]
    if all(label == UNLABELLED for label in labels):
        raise ValueError(
            f'no class of the files is known to the metainfo: the files have {_shorten(names)}, the metainfo has '
            f'{_shorten(known)}. Give the metainfo or file_classes the same spelling'
        )
    thing_ids = frozenset(file_classes['thing_ids'])
    pixels = dict(zip(ids, labels, strict=True))
    # What the files count and the model does not (or the other way round) can only be labelled by pixels.
    things = {i: pixels[i] for i in ids if i in thing_ids and pixels[i] < len(metainfo['classes'])}
    dropped = tuple(name for name, label in zip(names, labels, strict=True) if label == UNLABELLED)
    return LabelMap(things, pixels, thing_ids, dropped, _lut(ids, labels, seg_map_values))


def _lut(ids: Sequence[int], labels: Iterable[int], values: str) -> np.ndarray:
    lut = np.full(256, FOREIGN, dtype=np.uint8)
    if values == 'category_id':
        lut[0] = UNLABELLED
    for position, (category, label) in enumerate(zip(ids, labels, strict=True)):
        value = {'category_id_minus_1': category - 1, 'category_id': category, 'contiguous': position}[values]
        if 0 <= value < UNLABELLED:
            lut[value] = label
    lut[UNLABELLED] = UNLABELLED
    return lut


def _flatten(classes: Mapping, what: str) -> tuple[list[str], list[int]]:
    missing = [key for key in CLASS_KEYS if key not in classes]
    if missing:
        raise ValueError(f'{what} has no {" and no ".join(missing)}; it needs {", ".join(CLASS_KEYS)}')
    _check_lengths(classes, what)
    names, ids = [*classes['classes'], *classes['stuff_classes']], [*classes['thing_ids'], *classes['stuff_ids']]
    _check_distinct(names, what)
    _check_distinct(ids, what)
    return names, ids


def _check_lengths(classes: Mapping, what: str) -> None:
    for names, ids in (('classes', 'thing_ids'), ('stuff_classes', 'stuff_ids')):
        if len(classes[names]) != len(classes[ids]):
            raise ValueError(
                f'{what} has {len(classes[names])} {names} but {len(classes[ids])} {ids}: give both, in the same order'
            )


def _check_distinct(values: Sequence, what: str) -> None:
    if len(set(values)) != len(values):
        twice = sorted({value for value in values if values.count(value) > 1})
        raise ValueError(f'{what} has {_shorten(twice)} twice: classes are told apart by name and by id')


def _shorten(values: Sequence) -> str:
    listed = ', '.join(map(repr, values[:_SHOWN]))
    return f'{listed}, ... ({len(values)} in all)' if len(values) > _SHOWN else listed or 'none'
