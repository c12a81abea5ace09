"""Writing files so that they appear complete or not at all."""

import os
from pathlib import Path
from typing import Any

import torch


def save_whole(content: Any, path: str | Path) -> None:
    """``torch.save`` into a draft beside ``path``, which then takes its name; missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        torch.save(content, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
