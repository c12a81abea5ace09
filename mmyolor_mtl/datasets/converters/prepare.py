"""Makes COCO 2017 ready for ``configs/_base_/datasets/coco_mtl.py``: unpacks, verifies, adds what is derived."""

import errno
import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mmyolor_mtl.models.text.tokenizer import WordTokenizer

from .coco_archives import ALIASES, ARCHIVES, INNER_ARCHIVES, NUM_KARPATHY, SPLITS, URLS, Archive, find_archive, locate
from .coco_derived import karpathy_lists, make_semantic_maps
from .coco_survey import Item, survey
from .files import read_coco, read_json, write_json, write_text
from .unpack import Unpacking, read_checksums, require_space, verify_checksum

_STATE, _LOCK = '.prepare_coco.json', '.prepare_coco.lock'


class PrepareSettings(NamedTuple):
    """How to prepare COCO.

    Attributes:
        root: Folder of the data set, made if need be.
        archives: Folder with the zip files; ``root`` and its usual sub-folders are looked through too.
        checksums: File with md5, sha1 or sha256 lines for the zip files.
        workers: Threads that unpack and processes that paint.
        min_count: Words of the vocabulary occur at least that often.
        partial: Accept fewer images and labels than COCO has.
        check: Only look.
    """

    root: Path
    archives: Path | None = None
    checksums: Path | None = None
    workers: int = 1
    min_count: int = 2
    partial: bool = False
    check: bool = False


def prepare_coco(settings: PrepareSettings) -> list[Item]:
    """Do everything that is still to be done; what an earlier run completed is kept.

    Returns:
        list[Item]: State of each part of the data set.

    Raises:
        FileNotFoundError: With ``check``, there is no such folder; or the list of checksums does not exist.
        ValueError: An archive or an annotation file is damaged; says which, and where to get it.
        OSError: The disk is full, another run works in the same folder, or something cannot be written.
    """
    root = settings.root
    if settings.check:
        if not root.is_dir():
            raise FileNotFoundError(f'{root} does not exist')
        _verify_archives(settings)
        found = [item for archives in (ARCHIVES, INNER_ARCHIVES) for item in _compare(settings, archives)]
        return [*found, *survey(root, settings.partial)]
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root):
        _link_folders(root)
        _verify_archives(settings)
        for archives in (ARCHIVES, INNER_ARCHIVES):
            _unpack(settings, archives)
        for split in SPLITS:
            make_semantic_maps(root, split, settings.workers)
        _write_lists_and_words(root, settings.min_count)
    return survey(root, settings.partial)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keep a second run away: both would write the same drafts. The lock falls with the process."""
    with open(root / _LOCK, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EAGAIN, f'{root}: another run is working here, wait for it') from None
        yield


def _link_folders(root: Path) -> None:
    """Let the usual names lead to folders that lie elsewhere, e.g. train2017 to images/train2017."""
    for name in ALIASES:
        place, target = locate(root, name), root / name
        if place != target:
            if target.is_dir():  # empty, or it would have been chosen
                target.rmdir()
            target.parent.mkdir(parents=True, exist_ok=True)
            up = '../' * (len(Path(name).parts) - 1)
            target.symlink_to(up + place.relative_to(root).as_posix())


def _folders(settings: PrepareSettings) -> list[Path]:
    return [settings.root] if settings.archives is None else [settings.archives, settings.root]


def _verify_archives(settings: PrepareSettings) -> None:
    if settings.checksums is None:
        return
    state = _read_state(settings.root)
    for name, digest in read_checksums(settings.checksums).items():
        path = find_archive(name, *_folders(settings))
        if path is None or state['checksums'].get(name) == [digest, *_stamp(path)]:
            continue
        verify_checksum(path, digest, URLS.get(name, ''))
        state['checksums'][name] = [digest, *_stamp(path)]
        if not settings.check:
            write_json(settings.root / _STATE, state)


def _compare(settings: PrepareSettings, archives: Sequence[Archive]) -> list[Item]:
    """Say of each archive that is there how much of it is not unpacked."""
    items = []
    for name, (plan, targets) in _plan(settings, archives).items():
        note = f'{len(targets):,} of {len(plan.members):,} files are not unpacked' if targets else 'unpacked'
        items.append(Item(name, not targets, note))
    return items


def _unpack(settings: PrepareSettings, archives: Sequence[Archive]) -> None:
    plans, state = _plan(settings, archives), _read_state(settings.root)
    require_space(settings.root, dict(plans.values()))
    for name, (plan, targets) in plans.items():
        plan.unpack(targets, settings.workers)
        state['unpacked'][name] = _stamp(plan.path)
        write_json(settings.root / _STATE, state)


def _plan(settings: PrepareSettings, archives: Sequence[Archive]) -> dict[str, tuple[Unpacking, list[Path]]]:
    """Archives that are there, with the files that are still to be unpacked."""
    state = _read_state(settings.root)['unpacked']
    plans = {}
    for archive in archives:
        path = find_archive(archive.name, *_folders(settings))
        if path is None:
            continue
        plan = Unpacking(path, archive.pattern, archive.target, settings.root, archive.url)
        missing = set(plan.missing())
        # What was unpacked by a run that was cut off, or by somebody else, has to prove itself once.
        if state.get(archive.name) != _stamp(path):
            missing.update(plan.damaged([target for target in plan.members if target not in missing], settings.workers))
        # Nobody needs the archive inside the archive when its content is there.
        targets = [target for target in plan.members if target in missing and target.name not in state]
        plans[archive.name] = (plan, targets)
    return plans


def _read_state(root: Path) -> dict[str, dict]:
    """Which archives are done; a lost or broken note only costs time."""
    try:
        state = read_json(root / _STATE)
    except (FileNotFoundError, ValueError):
        state = {}
    return {key: dict(state.get(key, {})) for key in ('checksums', 'unpacked')}


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _write_lists_and_words(root: Path, min_count: int) -> None:
    """Karpathy's image lists and the vocabulary of the training captions, where they are missing."""
    folder = root / 'annotations'
    karpathy = next((p for p in (folder / 'dataset_coco.json', root / 'dataset_coco.json') if p.is_file()), None)
    lists = {split: folder / f'karpathy_{split}.txt' for split in NUM_KARPATHY}
    if karpathy is not None and not all(path.is_file() for path in lists.values()):
        for split, names in karpathy_lists(karpathy, root).items():
            write_text(lists[split], ''.join(f'{name}\n' for name in names))
    captions, vocabulary = folder / 'captions_train2017.json', folder / 'vocab.txt'
    if captions.is_file() and not vocabulary.is_file():
        tokenizer = WordTokenizer.build(
            (annotation['caption'] for annotation in read_coco(captions)['annotations']), min_count
        )
        write_text(vocabulary, ''.join(f'{token}\n' for token in tokenizer.tokens))


def missing_downloads(items: Sequence[Item], settings: PrepareSettings) -> list[tuple[str, ...]]:
    """What to get: for each part that lacks something, addresses of which one will do.

    Archives that are there already are left out.
    """
    wanted = []
    for item in items:
        if item.archives and not any(find_archive(name, *_folders(settings)) for name in item.archives):
            wanted.append(tuple(URLS[name] for name in item.archives))
    return list(dict.fromkeys(wanted))
