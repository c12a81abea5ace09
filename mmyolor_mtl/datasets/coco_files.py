"""The annotation files of a data set, read and put side by side."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .coco_classes import stuff_colours, thing_colours
from .label_space import LabelMap
from .semantic_maps import STUFF_OTHER_ID
from .validation import Problems, check_captions, check_instances, check_panoptic, read_annotation_file
from .validation.records import check_same_images


@dataclass
class COCOFiles:
    """Parsed annotation files, None where a data set has none of the kind.

    Attributes:
        paths: Path of each file by the name of its attribute.
        instances: Instances JSON, or a bare image list (``images`` without ``annotations``).
        stuff: Stuff JSON.
        panoptic: Panoptic JSON.
        captions: Captions JSON.
    """

    paths: Mapping[str, str]
    instances: dict | None = None
    stuff: dict | None = None
    panoptic: dict | None = None
    captions: dict | None = None

    @classmethod
    def read(cls, **paths: str) -> 'COCOFiles':
        """Read the files that are given; '' stands for none.

        Raises:
            FileNotFoundError: A file does not exist.
            ValueError: A file is not in COCO's layout.
        """
        given = {name: path for name, path in paths.items() if path}
        contents = {path: read_annotation_file(path) for path in dict.fromkeys(given.values())}
        return cls(given, **{name: contents[path] for name, path in given.items()})

    def __iter__(self) -> Iterator[tuple[str, dict]]:
        """Name and content of each file, of one that serves for two things only once."""
        for name in ('instances', 'stuff', 'panoptic', 'captions'):
            content = getattr(self, name)
            if content is not None and not (name == 'stuff' and content is self.instances):
                yield name, content

    def images(self) -> dict[Any, Mapping]:
        """Image records of all files by id, the first file's in front."""
        found: dict[Any, Mapping] = {}
        for _, content in self:
            for image in content['images']:
                found.setdefault(image['id'], image)
        return found

    def classes(self) -> dict[str, tuple]:
        """Names and ids of things and stuff, from the files' ``categories``.

        A category is a thing if its ``isthing`` says so; where it says nothing, those of the stuff JSON are stuff and
        all others things. COCO-Stuff's *other* (id 183, whatever is no stuff) is no class.

        Returns:
            dict: ``classes, thing_ids, stuff_classes, stuff_ids``.

        Raises:
            ValueError: No file has categories, a name occurs twice, or files contradict each other.
        """
        found: dict[int, tuple[str, bool]] = {}
        for name, content in self:
            own = [_category(entry, name, self.paths[name]) for entry in content.get('categories', ())]
            _check_unique(own, self.paths[name])
            for category, label, is_thing in own:
                known = found.setdefault(category, (label, is_thing))
                if known != (label, is_thing):
                    raise ValueError(
                        f'{self.paths[name]}: category {category} is {_describe(label, is_thing)}, but '
                        f'{_describe(*known)} in another file of this data set'
                    )
        found = {i: entry for i, entry in found.items() if not (i == STUFF_OTHER_ID and entry[0] == 'other')}
        if not found:
            raise ValueError(
                f'{" and ".join(self.paths.values()) or "no file"}: there are no "categories" to take the classes '
                'from; give their names and ids in the config'
            )
        _check_unique([(i, *entry) for i, entry in found.items()], ' and '.join(self.paths.values()))
        things = {i: label for i, (label, is_thing) in found.items() if is_thing}
        stuff = {i: label for i, (label, is_thing) in found.items() if not is_thing}
        return {
            'classes': tuple(things.values()),
            'thing_ids': tuple(things),
            'stuff_classes': tuple(stuff.values()),
            'stuff_ids': tuple(stuff),
        }

    def names_beyond(self, labels: LabelMap) -> tuple[str, ...]:
        """Names of the files' categories whose ids mean nothing."""
        entries = [entry for _, content in self for entry in content.get('categories', ())]
        beyond = {entry.get('id'): str(entry.get('name')) for entry in entries if entry.get('id') not in labels.pixels}
        beyond.pop(STUFF_OTHER_ID, None)
        return tuple(beyond.values())

    def check(self, labels: LabelMap, problems: Problems) -> None:
        """Check all files, each alone and against the others.

        Args:
            labels (LabelMap): What the files' ids mean.
            problems (Problems): Receives what is wrong.
        """
        paths = self.paths
        thing_ids: Iterable[int] = labels.thing_ids
        stuff_ids: Iterable[int] = labels.pixels.keys() - labels.thing_ids
        if self.stuff is not None and self.stuff is self.instances:  # one file with both
            thing_ids = stuff_ids = labels.pixels.keys()
        if self.instances is not None:
            check_instances(self.instances, paths['instances'], thing_ids, problems)
        if self.stuff is not None:
            check_instances(self.stuff, paths['stuff'], {*stuff_ids, STUFF_OTHER_ID}, problems, classes='stuff_ids')
        if self.panoptic is not None:
            check_panoptic(self.panoptic, paths['panoptic'], None, problems)
        if self.captions is not None:
            check_captions(self.captions, paths['captions'], self.instances, paths.get('instances', ''), problems)
        if problems.found:
            return
        first = {image['id']: image for image in self.instances['images']} if self.instances is not None else {}
        for name in ('stuff', 'panoptic'):
            content = getattr(self, name)
            if content is not None:
                own = {image['id']: image for image in content['images']}
                check_same_images(own, paths[name], first, paths.get('instances', ''), problems)


def metainfo_of(classes: Mapping[str, tuple]) -> dict[str, Any]:
    """A whole metainfo for names and ids from :meth:`COCOFiles.classes`."""
    return {
        **classes,
        'palette': thing_colours(len(classes['classes'])),
        'stuff_palette': stuff_colours(len(classes['stuff_classes'])),
        'extra_classes': (),
        'panoptic_stuff': {},
    }


def _category(entry: Mapping, name: str, path: str) -> tuple[int, str, bool]:
    if type(entry.get('id')) is not int or not isinstance(entry.get('name'), str):
        raise ValueError(f'{path}: category {entry} has no whole number as id, or no name')
    return entry['id'], entry['name'], bool(entry.get('isthing', name != 'stuff'))


def _check_unique(categories: Sequence[tuple[int, str, bool]], path: str) -> None:
    ids, names = set(), {}
    for category, name, _ in categories:
        if category in ids or name in names:
            raise ValueError(
                f'{path}: category {category} ({name!r}) has the id or the name of another one; classes are told '
                'apart by both'
            )
        ids.add(category)
        names[name] = category


def _describe(name: str, is_thing: bool) -> str:
    return f'{"thing" if is_thing else "stuff"} {name!r}'
