"""A page of pictures, figures and training curves that opens in any browser, without a server."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.figure

from . import html

# metric: (title, decimals); the tiles at the head of the page, in this order.
HEADLINES = {
    'coco/bbox_mAP': ('Box AP', 3),
    'coco/segm_mAP': ('Mask AP', 3),
    'sem/mIoU': ('mIoU', 3),
    'pan/PQ': ('PQ', 3),
    'cap/Bleu_4': ('BLEU-4', 3),
    'cap/CIDEr': ('CIDEr', 2),
}


@dataclass
class ReportScene:
    """One card of the page.

    Attributes:
        name (str): Name of the image.
        picture (Path): The picture, anywhere below the page's folder.
        caption (str | None): What the network says.
        references (list[str]): What people, or the generator, said.
        note (str): What is wrong.
    """

    name: str
    picture: Path
    caption: str | None = None
    references: list[str] = field(default_factory=list)
    note: str = ''


def write_report(
    path: Path, title: str, lead: str, figures: Mapping[str, Any], scenes: Sequence[ReportScene], curves: Path | None
) -> None:
    """Write the page.

    Args:
        path (Path): The HTML file; pictures are linked relative to its folder.
        title (str): Heading.
        lead (str): A sentence below it.
        figures (Mapping): Metrics, and ``seconds``.
        scenes (Sequence[ReportScene]): The cards.
        curves (Path, optional): Picture of the training curves.

    Raises:
        ValueError: A picture lies outside the page's folder.
    """
    folder = path.parent
    body = f'<h2>Ground truth beside prediction</h2>\n{cards(scenes, folder)}'
    if curves is not None:
        body += f'\n<h2>Training</h2>\n<div class="panel"><img src="{html.link(curves, folder)}" alt="curves"></div>'
    body += '\n' + html.folded('All figures', html.table((), list(figures.items())))
    write_page(path, html.page(title, lead, headlines(figures), body))


def write_page(path: Path, content: str) -> None:
    """Write a page in one go, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'.{path.name}.part')
    draft.write_text(content, encoding='utf-8')
    os.replace(draft, path)


def headlines(figures: Mapping[str, Any]) -> str:
    """The most important figures of those given, large."""
    entries = [
        (title, f'{figures[key]:.{decimals}f}')
        for key, (title, decimals) in HEADLINES.items()
        if figures.get(key) is not None
    ]
    if figures.get('train_seconds') is not None:
        entries.append(('minutes of training', f'{figures["train_seconds"] / 60:.1f}'))
    return html.tiles(entries)


def cards(scenes: Sequence[ReportScene], folder: Path) -> str:
    """Pictures with what is said of them.

    Raises:
        ValueError: A picture lies outside the page's folder.
    """
    return f'<div class="grid">{"".join(_card(scene, folder) for scene in scenes)}</div>'


def read_scalars(files: Iterable[Path]) -> list[dict[str, Any]]:
    """Records of MMEngine's ``scalars.json`` files (one JSON object a line), in the order given."""
    records = []
    for file in files:
        for line in file.read_text(encoding='utf-8').splitlines():
            if line.strip():
                records.append(json.loads(line))
    return records


def plot_curves(records: Sequence[Mapping[str, Any]], path: Path) -> bool:
    """Draw losses over iterations, and the headline metrics over epochs where there are at least two evaluations.

    Args:
        records (Sequence): Records as in :func:`read_scalars`; of a step that occurs twice (a resumed run)
            the last counts.
        path (Path): PNG file to write.

    Returns:
        bool: Whether there was anything to draw.
    """
    losses = _series(records, lambda key: key.startswith('loss'), lambda record: 'loss' in record)
    metrics = _series(records, HEADLINES.__contains__, lambda record: 'loss' not in record)
    metrics = {key: points for key, points in metrics.items() if len(points) > 1}
    charts = [chart for chart in ((losses, 'iteration', 'loss'), (metrics, 'epoch', 'metric')) if chart[0]]
    if not charts:
        return False
    # Figures are made without pyplot: no window system, no state shared with the visualizer.
    figure = matplotlib.figure.Figure(figsize=(7 * len(charts), 4), dpi=110, layout='constrained')
    for number, (series, x_label, y_label) in enumerate(charts, start=1):
        axes = figure.add_subplot(1, len(charts), number)
        for key, points in series.items():
            label = HEADLINES[key][0] if key in HEADLINES else key.removeprefix('loss_')
            width = 2.4 if key == 'loss' else 1.4
            axes.plot(*zip(*sorted(points.items()), strict=True), label='total' if key == 'loss' else label, lw=width)
        axes.set(xlabel=x_label, ylabel=y_label)
        if y_label == 'loss' and all(value > 0 for points in series.values() for value in points.values()):
            axes.set_yscale('log')
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False, fontsize='small', ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return True


def _series(records: Sequence[Mapping[str, Any]], wanted: Any, belongs: Any) -> dict[str, dict[int, float]]:
    series: dict[str, dict[int, float]] = {}
    for record in records:
        if belongs(record):
            for key, value in record.items():
                if wanted(key) and isinstance(value, int | float):
                    series.setdefault(key, {})[int(record['step'])] = float(value)
    return series


def _card(scene: ReportScene, folder: Path) -> str:
    link = html.link(scene.picture, folder)
    image = f'<a href="{link}"><img src="{link}" alt="{escape(scene.name)}" loading="lazy"></a>'
    note = f'<p class="note">{escape(scene.note)}</p>' if scene.note else ''
    said = f'<p class="said">{escape(scene.caption or "(no words)")}</p>' if scene.caption is not None else ''
    references = ''.join(f'<li>{escape(text)}</li>' for text in scene.references)
    references = f'<ul>{references}</ul>' if references else ''
    text = f'{note}{said}{references}<small>{escape(scene.name)}</small>'
    return f'<article class="card">{image}<div>{text}</div></article>'
