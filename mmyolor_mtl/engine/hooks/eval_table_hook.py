"""One table for all tasks after an evaluation, and the figures as a file."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmyolor_mtl.registry import HOOKS
from mmyolor_mtl.utils.files import draft_of

# task: (title, {metric key: title}); the order is that of the table.
ROWS: dict[str, dict[str, str]] = {
    'boxes': {
        'coco/bbox_mAP': 'AP',
        'coco/bbox_mAP_50': 'AP50',
        'coco/bbox_mAP_75': 'AP75',
        'coco/bbox_mAP_s': 'APs',
        'coco/bbox_mAP_m': 'APm',
        'coco/bbox_mAP_l': 'APl',
    },
    'masks': {
        'coco/segm_mAP': 'AP',
        'coco/segm_mAP_50': 'AP50',
        'coco/segm_mAP_75': 'AP75',
        'coco/segm_mAP_s': 'APs',
        'coco/segm_mAP_m': 'APm',
        'coco/segm_mAP_l': 'APl',
    },
    'semantic': {
        'sem/mIoU': 'mIoU',
        'sem/mIoU_things': 'things',
        'sem/mIoU_stuff': 'stuff',
        'sem/FWIoU': 'FWIoU',
        'sem/mAcc': 'mAcc',
        'sem/aAcc': 'aAcc',
        'sem/stuff_mIoU': 'stuff+other',
    },
    'panoptic': {
        'pan/PQ': 'PQ',
        'pan/PQ_th': 'PQth',
        'pan/PQ_st': 'PQst',
        'pan/SQ': 'SQ',
        'pan/RQ': 'RQ',
    },
    'captions': {
        'cap/Bleu_4': 'BLEU-4',
        'cap/CIDEr': 'CIDEr',
        'cap/ROUGE_L': 'ROUGE-L',
        'cap/Bleu_1': 'BLEU-1',
        'cap/Bleu_2': 'BLEU-2',
        'cap/Bleu_3': 'BLEU-3',
    },
}


@HOOKS.register_module()
class EvalTableHook(Hook):
    """After each validation or test, logs one table with a row for each task and writes the figures to a file.

    The file is flat JSON: every metric by its key (``coco/bbox_mAP``, ``sem/mIoU``, ...), ``seconds`` since the run
    began, and in training ``epoch``. Metrics with ``per_class=True`` add ``per_class``, which has a list with one entry
    a class for each of them (``coco/bbox``, ``coco/segm``, ``sem``, ``pan``). The file is replaced as a whole, so a
    reader never sees half of it; figures that are not numbers (NaN) become null.

    Args:
        out_file (str): Name of the file in the work directory.
    """

    priority = 'LOW'

    def __init__(self, out_file: str = 'metrics.json') -> None:
        self.out_file = out_file
        self._began = time.time()

    def before_run(self, runner: Runner) -> None:
        """Start the clock."""
        self._began = time.time()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report a validation."""
        # Only a train loop that exists knows the epoch; asking the runner would build one.
        loop = runner._train_loop
        epoch = None if loop is None or isinstance(loop, dict) else int(runner.epoch)
        self._report(runner, runner.val_evaluator, metrics, {} if epoch is None else {'epoch': epoch})

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report a test."""
        self._report(runner, runner.test_evaluator, metrics, {})

    def _report(
        self, runner: Runner, evaluator: Evaluator, metrics: Mapping[str, Any] | None, extra: Mapping[str, float]
    ) -> None:
        if not metrics or not is_main_process():
            return
        seconds = time.time() - self._began
        when = f'epoch {extra["epoch"]}, ' if 'epoch' in extra else ''
        table = format_table(metrics)
        if table:
            runner.logger.info(f'Evaluation ({when}{seconds:.0f} s since the start)\n{table}')
        figures: dict[str, Any] = {**_numbers(metrics), **extra, 'seconds': round(seconds, 1)}
        tables = _class_tables(evaluator)
        if tables:
            figures['per_class'] = tables
        write_json(Path(runner.work_dir) / self.out_file, figures)


def format_table(metrics: Mapping[str, Any]) -> str:
    """Table of the known metrics, one row a task; '' where none of them is there.

    Examples:
        >>> print(format_table({'sem/mIoU': 0.8512, 'coco/bbox_mAP': 0.9}))
        +----------+------------+
        | boxes    | AP   0.900 |
        | semantic | mIoU 0.851 |
        +----------+------------+
    """
    numbers = _numbers(metrics)
    rows = []
    for task, keys in ROWS.items():
        cells = [(title, numbers[key]) for key, title in keys.items() if key in numbers]
        if cells:
            rows.append((task, cells))
    if not rows:
        return ''
    columns = max(len(cells) for _, cells in rows)
    widths = [max(len(cells[i][0]) for _, cells in rows if i < len(cells)) for i in range(columns)]
    first = max(len(task) for task, _ in rows)
    lines = []
    for task, cells in rows:
        line = [task.ljust(first)]
        line += [f'{title.ljust(widths[i])} {_figure(value)}' for i, (title, value) in enumerate(cells)]
        line += [' ' * (widths[i] + 6) for i in range(len(cells), columns)]
        lines.append(f'| {" | ".join(line)} |')
    rule = '+-' + '-+-'.join('-' * width for width in (first, *(width + 6 for width in widths))) + '-+'
    return '\n'.join([rule, *lines, rule])


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file so that it is either the old or the new one, never a part."""
    with draft_of(path) as draft:
        draft.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The metrics that are numbers, as plain ones; NaN and infinities become None, anything else is left out."""
    numbers: dict[str, float | None] = {}
    for key, value in metrics.items():
        if hasattr(value, 'tolist'):  # arrays and tensors; several elements give a list
            value = value.tolist()
        if isinstance(value, int | float):
            numbers[key] = value if math.isfinite(value) else None
    return numbers


def _class_tables(evaluator: Evaluator) -> dict[str, list[dict[str, Any]]]:
    """Figures of every class, of the metrics that keep them; NaN (a class that does not occur) becomes None."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for metric in evaluator.metrics:
        for name, rows in getattr(metric, 'class_tables', {}).items():
            tables[name] = [{'class': row['class'], **_numbers(row)} for row in rows]
    return tables


def _figure(value: float | None) -> str:
    # mmdet's CocoMetric says -1 where no object of that size exists.
    return f'{value:5.3f}' if value is not None and value >= 0 else '    -'
