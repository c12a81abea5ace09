"""A page of pictures, figures and training curves that opens in any browser, without a server."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.figure

# metric: (title, decimals); the tiles at the head of the page, in this order.
HEADLINES = {
    'coco/bbox_mAP': ('Box AP', 3),
    'coco/segm_mAP': ('Mask AP', 3),
    'sem/mIoU': ('mIoU', 3),
    'pan/PQ': ('PQ', 3),
    'cap/Bleu_4': ('BLEU-4', 3),
    'cap/CIDEr': ('CIDEr', 2),
}

_STYLE = """
:root { --ink: #1f2937; --muted: #6b7280; --line: #e5e7eb; --accent: #3b6edc; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: #f3f4f6; }
header, main { max-width: 1680px; margin: 0 auto; padding: 1.5rem; }
header { padding-bottom: 0; }
h1 { margin: 0 0 .25rem; font-size: 1.8rem; }
h2 { margin: 2rem 0 1rem; font-size: 1.25rem; }
.lead { margin: 0; color: var(--muted); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); gap: .75rem; margin: 1.25rem 0 0; }
.tile, .card, .panel { background: #fff; border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: .75rem 1rem; }
.tile b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--muted); font-size: .85rem; }
.panel { padding: 1rem; overflow-x: auto; }
.panel img { max-width: 100%; display: block; margin: 0 auto; }
.grid { display: grid; gap: 1rem; align-items: start; }
.grid { grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); }
.card { overflow: hidden; }
.card img { width: 100%; display: block; }
.card div { padding: .75rem 1rem 1rem; border-top: 1px solid var(--line); }
.card p { margin: 0 0 .4rem; }
.card .said { font-weight: 600; border-left: 4px solid var(--accent); padding-left: .6rem; }
.card ul { margin: 0; padding-left: 1.1rem; color: var(--muted); font-size: .9rem; }
.card small { color: var(--muted); }
details { margin-top: 1rem; }
summary { cursor: pointer; color: var(--muted); }
table { border-collapse: collapse; font-size: .9rem; margin-top: .5rem; }
td { padding: .15rem 1rem .15rem 0; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
"""


@dataclass
class ReportScene:
    """One card of the page.

    Attributes:
        name (str): Name of the image.
        picture (Path): The picture, anywhere below the page's folder.
        caption (str | None): What the network says.
        references (list[str]): What people, or the generator, said.
    """

    name: str
    picture: Path
    caption: str | None = None
    references: list[str] = field(default_factory=list)


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
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>',
        f'<header>\n<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>',
        _tiles(figures),
        '</header>\n<main>',
        f'<h2>Ground truth beside prediction</h2>\n<div class="grid">{"".join(_card(s, folder) for s in scenes)}</div>',
    ]
    if curves is not None:
        parts.append(f'<h2>Training</h2>\n<div class="panel"><img src="{_link(curves, folder)}" alt="curves"></div>')
    rows = ''.join(f'<tr><td>{escape(key)}</td><td>{_figure(value)}</td></tr>' for key, value in figures.items())
    parts.append(f'<details><summary>All figures</summary><div class="panel"><table>{rows}</table></div></details>')
    parts.append('</main>\n</body>\n</html>\n')
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(parts), encoding='utf-8')


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


def _tiles(figures: Mapping[str, Any]) -> str:
    tiles = [
        (title, f'{figures[key]:.{decimals}f}')
        for key, (title, decimals) in HEADLINES.items()
        if figures.get(key) is not None
    ]
    if figures.get('train_seconds') is not None:
        tiles.append(('minutes of training', f'{figures["train_seconds"] / 60:.1f}'))
    body = ''.join(f'<div class="tile"><b>{value}</b><span>{escape(title)}</span></div>' for title, value in tiles)
    return f'<div class="tiles">{body}</div>'


def _card(scene: ReportScene, folder: Path) -> str:
    link = _link(scene.picture, folder)
    image = f'<a href="{link}"><img src="{link}" alt="{escape(scene.name)}" loading="lazy"></a>'
    said = f'<p class="said">{escape(scene.caption or "(no words)")}</p>' if scene.caption is not None else ''
    references = ''.join(f'<li>{escape(text)}</li>' for text in scene.references)
    references = f'<ul>{references}</ul>' if references else ''
    return f'<article class="card">{image}<div>{said}{references}<small>{escape(scene.name)}</small></div></article>'


def _link(target: Path, folder: Path) -> str:
    return escape(Path(target).resolve().relative_to(folder.resolve()).as_posix())


def _figure(value: Any) -> str:
    return f'{value:.4f}' if isinstance(value, float) else escape(str(value))
