"""Lists that choose some images of a data set: Karpathy's splits, or ids and file names."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any


def select_split(images: Mapping[Any, Mapping], path: str, split: str | Sequence[str] | None) -> dict[Any, Mapping]:
    """Keep the images that a split list names.

    Args:
        images (Mapping): Image records by id.
        path (str): Karpathy's JSON (``{"images": [{"cocoid" or "filename", "split"}, ...]}``); or a list of image ids
            or file names, as JSON or as text with one a line.
        split (str | Sequence[str], optional): Split or splits of Karpathy's JSON, such as ``('train', 'restval')``.

    Returns:
        dict: The records that are listed, in their own order.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is of another layout, has no such split, or lists none of the images.
    """
    entries = _read_list(path)
    if isinstance(entries, dict):
        entries = _entries_of_split(entries, path, split)
    elif split is not None:
        raise ValueError(f'split={split!r} needs a list that names splits, which {path} does not')
    ids = {int(entry) for entry in entries if isinstance(entry, int) or entry.isdecimal()} | set(entries)
    names: dict[str, list[str]] = {}
    for entry in entries:
        if isinstance(entry, str):
            names.setdefault(os.path.basename(entry), []).append(entry)
    kept = {i: image for i, image in images.items() if i in ids or _is_listed(image['file_name'], names)}
    if not kept:
        raise ValueError(f'{path}: none of its {len(entries)} images is among the {len(images)} of the data set')
    return kept


def _read_list(path: str) -> dict | list:
    if not os.path.isfile(path):
        raise FileNotFoundError(f'split_file {path} does not exist; check data_root and split_file')
    with open(path, encoding='utf-8') as file:
        text = file.read()
    if not path.endswith('.json'):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is not valid JSON: {error}') from error
    if isinstance(content, list) and all(type(entry) in (int, str) for entry in content):
        return content
    if isinstance(content, dict) and isinstance(content.get('images'), list):
        return content
    raise ValueError(f'{path} is neither a list of image ids or file names nor {{"images": [...]}} with their splits')


def _entries_of_split(content: dict, path: str, split: str | Sequence[str] | None) -> list:
    records = content['images']
    lacking = [i for i, one in enumerate(records) if 'split' not in one or not {'cocoid', 'filename'} & one.keys()]
    if lacking:
        raise ValueError(f'{path}: entry {lacking[0]} of "images" has no split, or neither cocoid nor filename')
    wanted = {split} if isinstance(split, str) else set(split or ())
    known = {one['split'] for one in records}
    if not wanted or wanted - known:
        raise ValueError(f'split={split!r} must name some of the splits of {path}: {sorted(known)}')
    # Ids where there are any: COCO gave its images new names in 2017, and kept the ids.
    return [one['cocoid'] if 'cocoid' in one else one['filename'] for one in records if one['split'] in wanted]


def _is_listed(file_name: str, names: Mapping[str, Sequence[str]]) -> bool:
    """Whether a listed path ends with the file name, or the file name with a listed path."""
    own = f'/{file_name}'
    for listed in names.get(os.path.basename(file_name), ()):
        other = f'/{listed}'
        if own.endswith(other) or other.endswith(own):
            return True
    return False
