"""Writing files so that they appear complete or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


@contextmanager
def draft_of(path: str | Path) -> Iterator[Path]:
    """Give the path of a draft beside ``path`` to write to; it takes the name of ``path`` when the block has ended.

    Its content is on the disk by then, also if the power fails. After an error nothing is left of it, and what ``path``
    was before stays. Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        yield draft
        with open(draft, 'r+b') as file:
            os.fsync(file.fileno())
        draft.replace(path)
        _flush_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def save_whole(content: Any, path: str | Path) -> None:
    """``torch.save`` that leaves the old file or the new one, never a part."""
    with draft_of(path) as draft:
        torch.save(content, draft)


def remove_drafts(folder: str | Path, pattern: str = '*') -> list[Path]:
    """Remove the drafts of files named like ``pattern`` that killed processes have left, and return their paths."""
    drafts = [path for path in Path(folder).glob(f'{pattern}.*.tmp') if path.suffixes[-2][1:].isdecimal()]
    for draft in drafts:
        draft.unlink(missing_ok=True)
    return drafts


def _flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if os.name == 'nt':  # Windows opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
