"""Which checkpoint to go on from: the last one that is whole."""

import re
import zipfile
from pathlib import Path


def is_whole(path: Path) -> bool:
    """Whether a file is a complete checkpoint: an archive of ``torch.save`` whose parts have their checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile, NotImplementedError):
        # Damaged headers make zipfile believe in encryption or compression methods that do not exist.
        return False
    except RuntimeError:
        return False


def find_last_whole(work_dir: Path, folder: Path, prefix: str) -> tuple[Path | None, list[Path]]:
    """Find the checkpoint to go on from.

    Args:
        work_dir: Where the file ``last_checkpoint`` lies, which names the last one.
        folder: Where the checkpoints lie.
        prefix: Their names are it, a number and '.pth'; used where ``last_checkpoint`` is lost.

    Returns:
        The last whole checkpoint, or None; and those newer than it that are missing or damaged, the newest first.
    """
    named = _named_as_last(work_dir, folder)
    if named is not None:
        prefix = re.sub(r'\d+$', '', named.stem)
    numbers = {path: int(path.stem[len(prefix) :]) for path in folder.glob(f'{prefix}*.pth') if _number(path, prefix)}
    if named is not None and _number(named, prefix):
        numbers[named] = int(named.stem[len(prefix) :])
        # Newer ones are of another run: the name is written after the file.
        numbers = {path: number for path, number in numbers.items() if number <= numbers[named]}
    candidates = sorted(numbers, key=lambda path: numbers[path], reverse=True)
    if named is not None and named not in numbers:
        candidates.insert(0, named)
    broken = []
    for path in candidates:
        if is_whole(path):
            return path, broken
        broken.append(path)
    return None, broken


def _named_as_last(work_dir: Path, folder: Path) -> Path | None:
    pointer = work_dir / 'last_checkpoint'
    name = pointer.read_text(encoding='utf-8').strip() if pointer.is_file() else ''
    if not name:
        return None
    path = Path(name)
    # A work folder that was moved keeps the old path.
    return path if path.is_file() else folder / path.name


def _number(path: Path, prefix: str) -> bool:
    return path.stem[len(prefix) :].isdecimal()
