"""The page of ``tools/analysis_tools/error_report.py``: where a network errs, task by task."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import html
from .html import Bar
from .report import ReportScene, cards, headlines, write_page

TITLES = {'det': 'Boxes', 'ins': 'Masks', 'sem': 'Semantic map', 'pan': 'Panoptic map', 'cap': 'Captions'}
_ERRORS = {
    'class': 'the place of an object of another class',
    'localisation': 'near an object of the class, IoU below 0.5',
    'both': 'near an object of another class',
    'duplicate': 'a second one on an object that is found already',
    'background': 'nothing there',
    'missed': 'objects that nothing was found near',
}
_MATRIX = 24  # classes in a confusion matrix
_ROWS = 15  # of a table before the rest is folded away
_GOOD, _BAD = '#2f9e69', '#d64545'


def write_error_page(
    path: Path,
    title: str,
    lead: str,
    figures: Mapping[str, Any],
    errors: Mapping[str, Mapping[str, Any]],
    worst: Mapping[str, Sequence[ReportScene]],
) -> None:
    """Write the page.

    Args:
        path (Path): The HTML file; pictures are linked relative to its folder.
        title (str): Heading.
        lead (str): A sentence below it.
        figures (Mapping): What the evaluators say, e.g. ``coco/bbox_mAP``.
        errors (Mapping): Task and its errors, as :meth:`~mmyolor_mtl.evaluation.errors.ErrorAnalysis.summary` gives
            them.
        worst (Mapping): Task and cards of its worst images.

    Raises:
        ValueError: A picture lies outside the page's folder.
    """
    sections: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
        'det': _detection_panels,
        'ins': _detection_panels,
        'sem': _semantic_panels,
        'pan': _panoptic_panels,
        'cap': _caption_panels,
    }
    links = ''.join(f'<a href="#{task}">{TITLES[task]}</a>' for task in errors)
    body = ''
    for task, found in errors.items():
        images = f'{found["images"]:,} image{"s" if found["images"] != 1 else ""} with labels'
        body += f'<section id="{task}">\n<h2>{TITLES[task]} ({images})</h2>\n'
        body += f'<div class="panels">{"".join(sections[task](found))}</div>\n'
        scenes = worst.get(task, ())
        if scenes:
            body += f'<h3>Worst images</h3>\n{cards(scenes, path.parent)}\n'
        body += '</section>\n'
    if figures:
        body += html.folded('All figures of the evaluation', html.table((), list(figures.items())))
    write_page(path, html.page(title, lead, f'{headlines(figures)}<nav>{links}</nav>', body))


def _detection_panels(found: Mapping[str, Any]) -> list[str]:
    counts, score_thr = found['counts'], found['score_thr']
    errors = html.table(
        ('error', 'count', '', ''),
        [(kind, counts[kind], Bar(_share(counts[kind], counts)), text) for kind, text in _ERRORS.items()],
    )
    kinds = [kind for kind in _ERRORS if kind != 'missed']
    sizes = [
        (
            size,
            one['objects'],
            _percent(one['found'], one['objects']),
            _percent(one['correct'], one['correct'] + sum(one[kind] for kind in kinds)),
            *(one[kind] for kind in _ERRORS),
        )
        for size, one in {**found['sizes'], 'all': counts}.items()
    ]
    pairs = [(p['true'], p['predicted'], p['count'], _percent(p['share_of_true'], 1)) for p in found['confused']]
    classes = [
        (
            c['name'],
            c['objects'],
            _percent(c['recall'], c['objects'] and 1),
            _percent(c['precision'], c['detections'] and 1),
        )
        for c in found['classes']
    ]
    heads = ('size', 'objects', 'recall', 'precision', *_ERRORS)
    return [
        html.panel(f'Errors of detections with a score of at least {score_thr:g}', errors),
        html.panel('Scores of all detections', _scores(found['scores'], score_thr)),
        html.panel('By size of the box or mask', html.table(heads, sizes) + _SIZES),
        html.panel('Classes taken for others', _long_table(('true', 'predicted', 'count', 'of the class'), pairs)),
        html.panel('Confusion', _confusion(found)),
        html.panel('Classes, least recall first', _long_table(('class', 'objects', 'recall', 'precision'), classes)),
    ]


_SIZES = '<p class="lead">small: below 32² px, large: from 96² px on</p>'


def _scores(scores: Mapping[str, Sequence[int]], score_thr: float) -> str:
    return html.histogram(scores, {'correct': _GOOD, 'wrong': _BAD}, 0, 1, score_thr)


def _confusion(found: Mapping[str, Any]) -> str:
    """The classes that take part in most errors; rows are true, columns predicted."""
    names = found['names']
    values = found['confusion']
    background = len(names)
    wrong = [sum(values[i]) + sum(row[i] for row in values) - 2 * values[i][i] for i in range(background)]
    seen = [i for i in range(background) if any(values[i]) or any(row[i] for row in values)]
    chosen = [*sorted(sorted(seen, key=lambda i: -wrong[i])[:_MATRIX]), background]
    labels = [*(names[i] for i in chosen[:-1]), 'background']
    note = 'Rows are true, columns predicted.'
    if len(seen) > _MATRIX:
        note += f' The {_MATRIX} of {len(seen)} classes with most errors.'
    return f'<p class="lead">{note}</p>' + html.matrix(labels, labels, [[values[i][j] for j in chosen] for i in chosen])


def _semantic_panels(found: Mapping[str, Any]) -> list[str]:
    classes = [(c['name'], f'{c["iou"]:.3f}', Bar(c['iou']), _percent(c['share'], 1)) for c in found['classes']]
    pairs = [(p['true'], p['predicted'], p['count'], _percent(p['share_of_true'], 1)) for p in found['confused']]
    figures = [('mIoU', f'{found["mIoU"]:.3f}'), ('pixels right', _percent(found['accuracy'], 1))]
    return [
        html.panel('Pixels', html.table((), figures)),
        html.panel('Classes taken for others', _long_table(('true', 'predicted', 'pixels', 'of the class'), pairs)),
        html.panel('Classes, least IoU first', _long_table(('class', 'IoU', '', 'of all pixels'), classes)),
    ]


def _panoptic_panels(found: Mapping[str, Any]) -> list[str]:
    rows = [
        (c['name'], f'{c["PQ"]:.3f}', Bar(c['PQ']), c['found'], c['wrong'], c['missed']) for c in found['categories']
    ]
    heads = ('class', 'PQ', '', 'found', 'wrong', 'missed')
    return [
        html.panel('Segments', html.table((), [('PQ', f'{found["PQ"]:.3f}')])),
        html.panel('Classes, least PQ first', _long_table(heads, rows)),
    ]


def _caption_panels(found: Mapping[str, Any]) -> list[str]:
    figures = [(name, f'{value:.3f}') for name, value in found['figures'].items()]
    lengths = [
        (
            f'{row["shortest"]} to {row["longest"]}' if row['shortest'] != row['longest'] else str(row['shortest']),
            row['captions'],
            f'{row["reference_words"]:.1f}',
            f'{row["CIDEr"]:.3f}',
            f'{row["Bleu_4"]:.3f}',
        )
        for row in found['lengths']
    ]
    heads = ('words', 'captions', 'words of references', 'CIDEr', 'BLEU-4')
    return [
        html.panel('All captions', html.table((), figures)),
        html.panel('By length of the caption', html.table(heads, lengths)),
        html.panel('CIDEr of the images', _caption_scores(found['scores'])),
    ]


def _caption_scores(scores: Sequence[float]) -> str:
    high = max(1, math.ceil(max(scores)))
    counts = [0] * 20
    for score in scores:
        counts[min(19, int(20 * score / high))] += 1
    return html.histogram({'images': counts}, {'images': '#3b6edc'}, 0, high)


def _long_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return '<p class="lead">none</p>'
    shown = html.table(heads, rows[:_ROWS])
    return shown if len(rows) <= _ROWS else shown + html.folded(f'{len(rows)} in all', html.table(heads, rows))


def _share(count: int, counts: Mapping[str, int]) -> float:
    return count / max(1, *(counts[kind] for kind in _ERRORS))


def _percent(part: float, whole: float) -> str:
    if not whole:
        return '-'
    return f'{part / whole:.0%}' if part >= 0.01 * whole or not part else '<1%'
