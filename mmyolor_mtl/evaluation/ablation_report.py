"""Figures of several variants of a network, each trained with several seeds, side by side."""

import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

METRICS = {
    'coco/bbox_mAP': 'box AP',
    'coco/segm_mAP': 'mask AP',
    'sem/mIoU': 'mIoU',
    'sem/FWIoU': 'FWIoU',
    'pan/PQ': 'PQ',
    'cap/Bleu_4': 'BLEU-4',
    'cap/CIDEr': 'CIDEr',
}
COSTS = {
    'parameters': ('parameters', '{:,.0f}'),
    'gflops': ('GFLOPs', '{:.3g}'),
    'step_seconds': ('s a step', '{:.3f}'),
    'step_cpu_seconds': ('CPU s a step', '{:.3f}'),
    'memory_gb': ('GB', '{:.2f}'),
}
TIMES = {'seconds': 'training, s', 'cpu_seconds': 'CPU, s'}


@dataclass
class Variant:
    """One config and what is known of it.

    Attributes:
        path: Of the config; its stem is the name of the variant.
        cfg: The config (MMEngine's ``Config``), with all overrides.
        digest: Of the config.
        cost: ``parameters``, ``gflops`` and, where measured, ``step_seconds``, ``step_cpu_seconds``, ``memory_gb``.
        runs: For each seed ``seed``, ``status``, ``seconds``, ``cpu_seconds``, ``resumed`` and ``metrics``.
    """

    path: Path
    cfg: Any
    digest: str
    cost: dict[str, Any] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Stem of the config."""
        return self.path.stem

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks of the network's heads."""
        return tuple(self.cfg.model.heads)


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and standard deviation over seeds (of a sample: n - 1), which is None for a single value.

    Examples:
        >>> spread([1.0, 3.0])
        {'mean': 2.0, 'std': 1.4142135623730951, 'n': 2}
    """
    std = statistics.stdev(values) if len(values) > 1 else None
    return dict(mean=statistics.fmean(values), std=std, n=len(values))


def summarise(variants: Sequence[Variant]) -> dict[str, Any]:
    """All figures as plain data.

    Returns:
        ``variants``: by name ``tasks``, ``cost``, ``runs``, and ``metrics`` and ``times``, which have for each figure
        the :func:`spread` over the finished runs (times: over those that were not resumed). ``added_tasks``: see
        :func:`added_tasks`.
    """
    table = {}
    for variant in variants:
        finished = [run for run in variant.runs if run['status'] == 'finished']
        whole = [run for run in finished if not run['resumed']]
        table[variant.name] = dict(
            tasks=list(variant.tasks),
            cost={key: variant.cost[key] for key in COSTS if key in variant.cost},
            metrics=_spreads([run['metrics'] for run in finished], METRICS),
            times=_spreads(whole, TIMES),
            runs=variant.runs,
        )
    return dict(variants=table, added_tasks=list(added_tasks(variants, table)))


def _spreads(runs: Sequence[Mapping[str, Any]], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Spreads of the figures that at least one run has; a figure that is None (not a number) is left out."""
    found = {key: [run[key] for run in runs if run.get(key) is not None] for key in keys}
    return {key: spread(values) for key, values in found.items() if values}


def added_tasks(variants: Sequence[Variant], table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Pairs of variants whose networks differ in tasks alone, with no third one between them.

    Of several variants with the same tasks the first counts.

    Yields:
        ``less`` and ``more`` (names), ``tasks`` that were added, ``cost`` (differences), ``brings`` (spreads of the
        figures that only ``more`` has) and ``changes``: for figures that both have the difference of the means and
        ``std``, the root of the sum of both variances, or None where one of them has a single run.
    """
    first: dict[frozenset[str], Variant] = {}
    for variant in variants:
        first.setdefault(frozenset(variant.tasks), variant)
    for fewer, less in first.items():
        for all_tasks, more in first.items():
            if not fewer < all_tasks or any(fewer < other < all_tasks for other in first) or not _nested(less, more):
                continue
            a, b = table[less.name], table[more.name]
            yield dict(
                less=less.name,
                more=more.name,
                tasks=[task for task in more.tasks if task not in fewer],
                cost={key: b['cost'][key] - value for key, value in a['cost'].items() if key in b['cost']},
                brings={key: value for key, value in b['metrics'].items() if key not in a['metrics']},
                changes={
                    key: _difference(value, b['metrics'][key])
                    for key, value in a['metrics'].items()
                    if key in b['metrics']
                },
            )


def _nested(less: Variant, more: Variant) -> bool:
    """Whether all that the smaller network has is the same in the larger one."""
    one, other = less.cfg.model, more.cfg.model
    parts = ('type', 'backbone', 'neck')
    return all(one.get(part) == other.get(part) for part in parts) and all(
        other.heads[task] == head for task, head in one.heads.items()
    )


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    stds = (before['std'], after['std'])
    std = None if None in stds else math.hypot(*stds)
    return dict(mean=after['mean'] - before['mean'], std=std)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Names without the parts between underscores that all of them begin or end with.

    Examples:
        >>> short_names(['net_det_small', 'net_det-sem_strong_small'])
        {'net_det_small': 'det', 'net_det-sem_strong_small': 'det-sem_strong'}
    """
    parts = [name.split('_') for name in names]
    # At least one part of each name stays.
    room = min(map(len, parts)) - 1
    head = min(room, len(os.path.commonprefix(parts)))
    tail = min(room - head, len(os.path.commonprefix([part[::-1] for part in parts])))
    return {name: '_'.join(part[head : len(part) - tail]) for name, part in zip(names, parts, strict=True)}


def format_report(summary: Mapping[str, Any]) -> str:
    """Markdown: results, costs, what added tasks cost and bring, and which runs failed."""
    variants = summary['variants']
    names = short_names(list(variants)) if len(variants) > 1 else {name: name for name in variants}
    sections = [
        '## Results\n\nMean and standard deviation over the seeds that finished.\n\n' + _results(variants, names),
        '## Costs\n\n' + _costs(variants, names),
    ]
    if summary['added_tasks']:
        note = 'Differences of means; their deviation is the root of the sum of both variances.\n\n'
        sections.append('## Added tasks\n\n' + note + _added(summary['added_tasks'], names))
    failures = [
        f'### {names[name]}, seed {run["seed"]}\n\n```text\n{run["message"]}\n```'
        for name, variant in variants.items()
        for run in variant['runs']
        if run['status'] == 'failed'
    ]
    if failures:
        sections.append('## Failed\n\n' + '\n\n'.join(failures))
    return '\n\n'.join(sections) + '\n'


def _results(variants: Mapping[str, Any], names: Mapping[str, str]) -> str:
    keys = [key for key in METRICS if any(key in variant['metrics'] for variant in variants.values())]
    rows = []
    for name, variant in variants.items():
        finished = sum(run['status'] == 'finished' for run in variant['runs'])
        rows.append([names[name], str(finished), *(_figure(variant['metrics'].get(key)) for key in keys)])
    return _markdown(['variant', 'seeds', *(METRICS[key] for key in keys)], rows)


def _costs(variants: Mapping[str, Any], names: Mapping[str, str]) -> str:
    costs = [key for key in COSTS if any(key in variant['cost'] for variant in variants.values())]
    rows = []
    for name, variant in variants.items():
        cells = [COSTS[key][1].format(variant['cost'][key]) if key in variant['cost'] else '' for key in costs]
        times = [_figure(variant['times'].get(key), digits=0) for key in TIMES]
        rows.append([names[name], *cells, *times])
    return _markdown(['variant', *(COSTS[key][0] for key in costs), *TIMES.values()], rows)


def _added(pairs: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    rows = []
    costs = [key for key in COSTS if any(key in pair['cost'] for pair in pairs)]
    for pair in pairs:
        cells = [
            '+' * (pair['cost'][key] >= 0) + COSTS[key][1].format(pair['cost'][key]) if key in pair['cost'] else ''
            for key in costs
        ]
        brings = ', '.join(f'{METRICS[key]} {_figure(value)}' for key, value in pair['brings'].items())
        changes = ', '.join(f'{METRICS[key]} {_figure(value, sign=True)}' for key, value in pair['changes'].items())
        rows.append([names[pair['less']], '-'.join(pair['tasks']), *cells, brings, changes])
    return _markdown(['to', 'add', *(COSTS[key][0] for key in costs), 'brings', 'changes'], rows)


def _figure(value: Mapping[str, Any] | None, digits: int = 3, sign: bool = False) -> str:
    if value is None:
        return ''
    text = f'{value["mean"]:{"+" if sign else ""}.{digits}f}'
    return text if value['std'] is None else f'{text} ± {value["std"]:.{digits}f}'


def _markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    align = ['---', *(['---:'] * (len(titles) - 1))]
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in [titles, align, *rows])
