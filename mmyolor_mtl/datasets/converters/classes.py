"""Class lists of somebody's own data: category ids, and the metainfo that goes into a config."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..coco_classes import stuff_colours, thing_colours
from ..label_space import FOREIGN
from .files import read_json, write_json, write_text


class ClassList(NamedTuple):
    """Names with their category ids.

    Attributes:
        things: Names of things (countable objects: boxes and masks).
        stuff: Names of stuff (regions: semantic maps alone).
        thing_ids: Category ids of the things, in [1, 253].
        stuff_ids: Category ids of the stuff.
    """

    things: tuple[str, ...]
    stuff: tuple[str, ...]
    thing_ids: tuple[int, ...]
    stuff_ids: tuple[int, ...]

    @classmethod
    def number(cls, things: Iterable[str], stuff: Iterable[str] = ()) -> 'ClassList':
        """Number the classes from 1 on, things first, then stuff.

        Raises:
            ValueError: There is no class, a name is blank or occurs twice, or there are more than 253 classes.
        """
        things, stuff = tuple(things), tuple(stuff)
        names = [*things, *stuff]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if not names:
            raise ValueError('there is no class: neither a thing nor stuff is named, and no label was found')
        if repeated:
            raise ValueError(f'class names must be unique among things and stuff together, not so: {repeated}')
        if not all(name.strip() for name in names):
            raise ValueError(f'a class name is blank: {names}')
        # A semantic PNG holds category id - 1; 254 and 255 have a meaning of their own.
        if len(names) >= FOREIGN:
            raise ValueError(f'{len(names)} classes are too many: semantic maps of 8 bits hold at most {FOREIGN - 1}')
        count = len(things)
        return cls(things, stuff, tuple(range(1, count + 1)), tuple(range(count + 1, len(names) + 1)))

    @property
    def ids(self) -> dict[str, int]:
        """Category id of every name."""
        return dict(zip((*self.things, *self.stuff), (*self.thing_ids, *self.stuff_ids), strict=True))

    def categories(self, stuff: bool = False) -> list[dict[str, Any]]:
        """COCO's ``categories`` of the things, or of all classes with ``isthing``."""
        if not stuff:
            return [{'id': i, 'name': name} for i, name in zip(self.thing_ids, self.things, strict=True)]
        thing_ids = set(self.thing_ids)
        return [{'id': i, 'name': name, 'isthing': int(i in thing_ids)} for name, i in self.ids.items()]

    def metainfo(self) -> dict[str, Any]:
        """What ``COCOMultiTaskDataset`` takes as ``metainfo``; colours are RGB, 0..255."""
        return {
            'classes': self.things,
            'palette': thing_colours(len(self.things)),
            'thing_ids': self.thing_ids,
            'stuff_classes': self.stuff,
            'stuff_palette': stuff_colours(len(self.stuff)),
            'stuff_ids': self.stuff_ids,
            'extra_classes': (),
            'panoptic_stuff': {},
        }


def write_classes(folder: Path, classes: ClassList) -> None:
    """Write ``classes.json`` (COCO's panoptic categories) and ``metainfo.py`` (to paste into a config)."""
    write_json(folder / 'classes.json', classes.categories(stuff=True))
    lines = [f'    {key}={value!r},\n' for key, value in classes.metainfo().items()]
    write_text(folder / 'metainfo.py', f'metainfo = dict(\n{"".join(lines)})\n')


def read_classes(path: str | Path) -> ClassList:
    """Read a ``classes.json``, or the ``categories`` of a panoptic or instances file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It holds no categories.
    """
    content = read_json(path)
    return class_list(content.get('categories') if isinstance(content, dict) else content, path)


def class_list(categories: Any, source: str | Path) -> ClassList:
    """Class list of COCO's ``categories``; those without ``isthing`` are things.

    Args:
        categories (list[dict]): With ``id``, ``name`` and perhaps ``isthing``.
        source (str | Path): Where they come from, for messages.

    Raises:
        ValueError: It is no such list, or an id or a name occurs twice.
    """
    if not isinstance(categories, list) or not all(
        isinstance(c, dict) and {'id', 'name'} <= c.keys() for c in categories
    ):
        raise ValueError(f'{source} has no categories, a list of {{"id", "name"}}')
    for key in ('id', 'name'):
        values = [category[key] for category in categories]
        if len(set(values)) != len(values):
            raise ValueError(f'{source}: a category {key} occurs twice in {sorted(values)}')
    parts = [[c for c in categories if bool(c.get('isthing', 1)) == thing] for thing in (True, False)]
    names, ids = ([tuple(c[key] for c in part) for part in parts] for key in ('name', 'id'))
    return ClassList(names[0], names[1], ids[0], ids[1])


def read_names(path: str | Path) -> list[str]:
    """Read class names, one a line; blank lines do not count.

    Raises:
        FileNotFoundError: No such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'list of class names {path} does not exist')
    return [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines() if line.strip()]


def ordered(names: Iterable[str], first: Sequence[str] = ()) -> tuple[str, ...]:
    """Names without repetitions, sorted, those of ``first`` left out."""
    return tuple(sorted(set(names) - set(first)))
