"""Reading and writing annotation files, and the list of what is wrong with somebody's data."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SHOWN = 20


class Findings:
    """Collects what is wrong with the input, each entry with file and place, so that all of it is seen at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, where: str | Path, what: str) -> None:
        """Note that ``what`` is wrong at ``where`` (a file, or file:line)."""
        self.found.append(f'{where}: {what}')

    def report(self, limit: int = _SHOWN) -> str:
        """The first ``limit`` entries, one a line, and how many more there are."""
        lines = [f'  {text}' for text in self.found[:limit]]
        if len(self.found) > limit:
            lines.append(f'  ... and {len(self.found) - limit} more')
        return '\n'.join(lines)

    def raise_if_any(self, advice: str) -> None:
        """Raise if anything was noted.

        Raises:
            ValueError: With :meth:`report` and ``advice``, which says what to do.
        """
        if self.found:
            raise ValueError(f'{len(self.found)} problem(s) in the data\n{self.report()}\n{advice}')


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not valid JSON.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist')
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f'{path} is not valid JSON: {error}') from error


def read_coco(path: str | Path) -> dict[str, Any]:
    """Read an annotation file in COCO's layout: instances, captions, stuff, panoptic or a bare image list.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not valid JSON, or not in COCO's layout.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get('images'), list):
        raise ValueError(f'{path} is not in COCO layout: it has no list "images"')
    for image in content['images']:
        if not isinstance(image, dict) or 'id' not in image or not isinstance(image.get('file_name'), str):
            raise ValueError(f'{path}: an image has no id or no file_name: {image!r:.120}')
    for annotation in content.get('annotations', ()):
        if not isinstance(annotation, dict) or 'image_id' not in annotation:
            raise ValueError(f'{path}: an annotation has no image_id: {annotation!r:.120}')
    return content


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one go: it is complete or not there."""
    path = Path(path)
    draft = path.with_name(f'.{path.name}.part')
    try:
        draft.write_text(text, encoding='utf-8', newline='\n')
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any) -> None:
    """Write a compact JSON file in one go."""
    write_text(path, json.dumps(content, separators=(',', ':'), ensure_ascii=False) + '\n')


@contextmanager
def draft_folder(target: str | Path) -> Iterator[Path]:
    """A folder beside ``target`` that takes its name when the block ends well, and vanishes otherwise.

    Raises:
        FileExistsError: ``target`` exists and is not an empty folder.
    """
    target = Path(target)
    if target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
        raise FileExistsError(f'{target} exists and is not an empty folder: choose another output folder')
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f'.{target.name}-', dir=target.parent))
    try:
        draft.chmod(0o755)
        yield draft
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
