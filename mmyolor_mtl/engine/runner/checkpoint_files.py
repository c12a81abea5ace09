"""Which checkpoint to go on from: the last one that is whole."""

import pickle
import re
import zipfile
from pathlib import Path

import torch


def is_whole(path: Path) -> bool:
    """Whether a file is a complete checkpoint: an archive of ``torch.save`` whose parts have their checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            # torch's parts are files without compression; its own reader would believe a header that says otherwise.
            is_file = all(
                x.compress_type == zipfile.ZIP_STORED and not x.external_attr & 16 for x in archive.infolist()
            )
            if not is_file or archive.testzip() is not None:
                return False
        torch.load(path, map_location='cpu', mmap=True, weights_only=True)  # stricter about the headers
    except pickle.UnpicklingError as error:
        return 'Unsupported global' in str(error)  # it holds objects that weights_only forbids, which is no damage
    except Exception:  # damage can look like anything to those who read it
        return False
    return True


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
        folder, prefix = named.parent, re.sub(r'\d+$', '', named.stem)
    found = {path: path.stem[len(prefix) :] for path in folder.glob(f'{prefix}*.pth')}
    numbers = {path: int(text) for path, text in found.items() if text.isdecimal()}
    if named is not None:
        # Those with a higher number are of an earlier run in the same folder.
        last = int(named.stem[len(prefix) :] or 0)
        numbers = {**{path: number for path, number in numbers.items() if number < last}, named: last}
    candidates = sorted(numbers, key=lambda path: numbers[path], reverse=True)
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
