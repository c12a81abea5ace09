"""What the metrics share: which samples carry a label, results that survive gathering, class tables, file names."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from mmengine.logging import print_log
from prettytable import PrettyTable

T = TypeVar('T')
# Rows of a table, each with 'class' and that class's figures.
ClassTable = list[dict[str, Any]]


def is_labelled(sample: Mapping[str, Any], task: str, field: str) -> bool:
    """Whether the image carries labels of a task: by ``labelled_tasks``, or, without that, by the field's presence.

    Args:
        sample (Mapping[str, Any]): A data sample as a dict.
        task (str): 'det', 'ins', 'sem' or 'cap'.
        field (str): The ground-truth field of that task.
    """
    tasks = sample.get('labelled_tasks')
    return bool(sample.get(field)) if tasks is None else task in tasks


def require(sample: Mapping[str, Any], field: str, metric: str, cause: str) -> Any:
    """Get a field that the metric cannot do without.

    Raises:
        ValueError: It is missing; the message names the image, the field and ``cause``.
    """
    value = sample.get(field)
    if value is None:
        raise ValueError(f'{metric}: image {sample.get("img_id")} has no {field}: {cause}')
    return value


def class_meta(meta: Mapping[str, Any], categories: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Names and ids of a data set's classes as our data sets give them, made of those of mmdet and mmseg where needed.

    Args:
        meta (Mapping[str, Any]): ``classes`` are the things. mmdet's panoptic data sets list all classes there and name
            the things ``thing_classes``. Category ids are missing outside this package.
        categories (Iterable[Mapping]): ``categories`` of an annotation file, where the ids are found by name; without
            any they count from 1.

    Raises:
        ValueError: There are categories, but none of the name of some class.
    """
    things, stuff = list(meta.get('thing_classes', meta['classes'])), list(meta.get('stuff_classes', ()))
    meta = {**meta, 'classes': things}
    if 'thing_ids' not in meta:
        ids = {category['name']: category['id'] for category in categories}
        ids = ids or {name: number for number, name in enumerate([*things, *stuff], start=1)}
        missing = [name for name in (*things, *stuff) if name not in ids]
        if missing:
            raise ValueError(f'no category of the annotation file is called {", ".join(map(repr, missing[:8]))}')
        meta['thing_ids'], meta['stuff_ids'] = [ids[name] for name in things], [ids[name] for name in stuff]
    return meta


def to_map(field: Mapping[str, Any], name: str, img_id: Any) -> np.ndarray:
    """Get the (H, W) int64 map of a ``PixelData`` that was turned into a dict.

    mmdet calls the map ``sem_seg``, mmseg ``data``.

    Raises:
        ValueError: It does not have the shape (1, H, W).
    """
    values = field['sem_seg'] if 'sem_seg' in field else field['data']
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.ndim != 3 or array.shape[0] != 1:
        raise ValueError(f'{name} of image {img_id} has shape {array.shape}, expected (1, H, W)')
    return array[0].astype(np.int64)


def unique_images(results: Iterable[tuple[Any, T]]) -> list[tuple[Any, T]]:
    """Keep the first result of each image: samplers repeat images so that all ranks get the same number.

    Args:
        results (Iterable[tuple]): Pairs of image id and anything; those whose id is None are all kept.
    """
    seen = set()
    kept = []
    for img_id, value in results:
        if img_id is not None and img_id in seen:
            continue
        seen.add(img_id)
        kept.append((img_id, value))
    return kept


def warn_unlabelled(metric: str, task: str) -> None:
    """Say that there was nothing to evaluate."""
    print_log(
        f'{metric}: no sample carries labels of the task {task!r}, so it reports nothing. Check the annotation paths '
        'of the evaluated data set, or remove the metric.',
        logger='current',
        level=logging.WARNING,
    )


def log_class_table(title: str, table: ClassTable) -> None:
    """Log the figures of all classes; '-' for a class that does not occur (NaN)."""
    if not table:
        return
    lines = PrettyTable(list(table[0]))
    lines.align['class'] = 'l'
    for row in table:
        name, *values = row.values()
        lines.add_row([name, *('-' if np.isnan(value) else f'{value:.3f}' for value in values)])
    print_log(f'{title}, every class:\n{lines}', logger='current')


def map_name(sample: Mapping[str, Any], metric: str) -> str:
    """File name of a map of an image: that of the image, with the suffix .png; without a path, its id.

    Raises:
        ValueError: It has neither.
    """
    if sample.get('img_path'):
        return f'{Path(sample["img_path"]).stem}.png'
    return f'{require(sample, "img_id", metric, "files are named after it")}.png'


def check_names(names: Iterable[tuple[Any, str]], metric: str) -> None:
    """Check that no two images wrote the same file.

    Raises:
        ValueError: Two did; the message names both.
    """
    seen: dict[str, Any] = {}
    for img_id, name in names:
        if name in seen:
            raise ValueError(
                f'{metric}: images {seen[name]} and {img_id} both wrote {name}: give images of different folders '
                'different names, or leave out outfile_prefix'
            )
        seen[name] = img_id
