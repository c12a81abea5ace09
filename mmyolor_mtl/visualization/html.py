"""Pieces of pages that open from disk in any browser: one file, its pictures beside it, nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

_STYLE = """
:root { --ink: #1f2937; --muted: #6b7280; --line: #e5e7eb; --accent: #3b6edc; --good: #2f9e69; --bad: #d64545; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: #f3f4f6; }
header, main { max-width: 1680px; margin: 0 auto; padding: 1.5rem; }
header { padding-bottom: 0; }
h1 { margin: 0 0 .25rem; font-size: 1.8rem; overflow-wrap: anywhere; }
h2 { margin: 2rem 0 1rem; font-size: 1.25rem; }
h3 { margin: 0 0 .5rem; font-size: 1rem; }
.lead { margin: 0; color: var(--muted); overflow-wrap: anywhere; }
nav { margin-top: .75rem; }
nav a { margin-right: 1rem; color: var(--accent); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); gap: .75rem; margin: 1.25rem 0 0; }
.tile, .card, .panel { background: #fff; border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: .75rem 1rem; }
.tile b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.tile span { color: var(--muted); font-size: .85rem; }
.panel { padding: 1rem; overflow-x: auto; }
.panel img { max-width: 100%; display: block; margin: 0 auto; }
.panels { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; margin-bottom: 1rem; }
.panels .panel { max-width: 100%; }
.grid { display: grid; gap: 1rem; align-items: start; }
.grid { grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); }
.card { overflow: hidden; }
.card img { width: 100%; display: block; }
.card div { padding: .75rem 1rem 1rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
.card p { margin: 0 0 .4rem; }
.card .said { font-weight: 600; border-left: 4px solid var(--accent); padding-left: .6rem; }
.card .note { color: var(--bad); }
.card ul { margin: 0; padding-left: 1.1rem; color: var(--muted); font-size: .9rem; }
.card small { color: var(--muted); }
details { margin-top: 1rem; }
summary { cursor: pointer; color: var(--muted); }
table { border-collapse: collapse; font-size: .9rem; margin-top: .5rem; }
th { text-align: left; font-weight: 600; padding: .15rem 1rem .15rem 0; border-bottom: 2px solid var(--line); }
td { padding: .15rem 1rem .15rem 0; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .7rem; min-width: 1px; background: var(--accent); border-radius: 2px; }
.matrix th, .matrix td { padding: .1rem .35rem; border: 1px solid #fff; text-align: center; font-size: .75rem; }
.matrix thead th { writing-mode: vertical-rl; transform: rotate(180deg); font-weight: 400; }
.matrix tbody th { text-align: right; font-weight: 400; white-space: nowrap; }
svg text { font: 11px system-ui, sans-serif; fill: var(--muted); }
"""


def page(title: str, lead: str, head: str, body: str) -> str:
    """A whole page; ``head`` (below the title) and ``body`` are HTML, title and lead plain text."""
    return '\n'.join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>',
            f'<header>\n<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n{head}\n</header>',
            f'<main>\n{body}\n</main>\n</body>\n</html>\n',
        ]
    )


def link(target: Path, folder: Path) -> str:
    """A file below the page's folder, as seen from there.

    Raises:
        ValueError: It lies elsewhere.
    """
    return escape(Path(target).resolve().relative_to(folder.resolve()).as_posix())


def tiles(entries: Sequence[tuple[str, str]]) -> str:
    """Large figures, (title, value) each."""
    body = ''.join(f'<div class="tile"><b>{escape(v)}</b><span>{escape(title)}</span></div>' for title, v in entries)
    return f'<div class="tiles">{body}</div>'


def panel(title: str, content: str) -> str:
    """A box with a heading; ``content`` is HTML."""
    return f'<div class="panel"><h3>{escape(title)}</h3>{content}</div>'


def folded(title: str, content: str) -> str:
    """Something to unfold; ``content`` is HTML."""
    return f'<details><summary>{escape(title)}</summary><div class="panel">{content}</div></details>'


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows of plain values; a :class:`Bar` becomes one."""
    head = ''.join(f'<th>{escape(name)}</th>' for name in heads)
    body = ''.join(f'<tr>{"".join(f"<td>{_cell(value)}</td>" for value in row)}</tr>' for row in rows)
    return f'<table>{f"<thead><tr>{head}</tr></thead>" if heads else ""}<tbody>{body}</tbody></table>'


class Bar(float):
    """A share in [0, 1] that a table shows as a bar."""


def matrix(names: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[int]]) -> str:
    """Counts with the colour of their share of the row: green where row and column agree, red elsewhere.

    Args:
        names (Sequence[str]): Names of the rows.
        columns (Sequence[str]): Names of the columns.
        values (Sequence): Rows of counts.
    """
    head = ''.join(f'<th>{escape(name)}</th>' for name in columns)
    rows = []
    for name, row in zip(names, values, strict=True):
        total = max(sum(row), 1)
        cells = ''.join(
            f'<td style="background:rgba({"47,158,105" if column == name else "214,69,69"},{value / total:.2f})" '
            f'title="{escape(name)} as {escape(column)}: {value} of {total}">{value or ""}</td>'
            for column, value in zip(columns, row, strict=True)
        )
        rows.append(f'<tr><th>{escape(name)}</th>{cells}</tr>')
    return f'<table class="matrix"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def histogram(
    series: Mapping[str, Sequence[int]], colors: Mapping[str, str], low: float, high: float, mark: float | None = None
) -> str:
    """Stacked columns over equal intervals of [low, high], as SVG.

    Args:
        series (Mapping): Name and count of each interval; all of one length.
        colors (Mapping): Name and CSS colour.
        low (float): Where the first interval begins.
        high (float): Where the last one ends.
        mark (float, optional): Value to mark with a line.
    """
    width, height, base = 480, 150, 166
    bins = len(next(iter(series.values())))
    top = max(1, *(sum(counts) for counts in zip(*series.values(), strict=True)))
    parts, floor = [], [0] * bins
    for name, counts in series.items():
        for i, count in enumerate(counts):
            floor[i] += count
            if count:
                y, tall = base - height * floor[i] / top, height * count / top
                step = (high - low) / bins
                span = f'{low + i * step:.2f} to {low + (i + 1) * step:.2f}'
                parts.append(
                    f'<rect x="{40 + width * i / bins:.1f}" y="{y:.1f}" width="{width / bins - 1:.1f}" '
                    f'height="{tall:.1f}" fill="{colors[name]}"><title>{escape(name)}, {span}: {count}</title></rect>'
                )
    for value in (low, (low + high) / 2, high):
        x = 40 + width * (value - low) / (high - low)
        parts.append(f'<text x="{x:.1f}" y="{base + 14}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<text x="36" y="{base - height + 8}" text-anchor="end">{top}</text>')
    parts.append(f'<line x1="40" x2="{40 + width}" y1="{base}" y2="{base}" stroke="#9ca3af"/>')
    if mark is not None and low <= mark <= high:
        x = 40 + width * (mark - low) / (high - low)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="8" y2="{base}" stroke="#1f2937" stroke-dasharray="4 3"/>')
    for number, name in enumerate(series):
        x = 44 + 110 * number
        parts.append(f'<rect x="{x}" y="{base + 24}" width="10" height="10" fill="{colors[name]}"/>')
        parts.append(f'<text x="{x + 14}" y="{base + 33}">{escape(name)}</text>')
    return f'<svg viewBox="0 0 {width + 60} {base + 40}" width="{width + 60}" role="img">{"".join(parts)}</svg>'


def number(value: Any) -> str:
    """A value as text: figures with four digits, counts with separators."""
    if isinstance(value, float):
        return f'{value:.4f}'
    return f'{value:,}' if isinstance(value, int) else str(value)


def _cell(value: Any) -> str:
    if isinstance(value, Bar):
        if value <= 0:
            return ''
        return f'<span class="bar" style="width:{min(1.0, value) * 10:.2f}rem"></span>'
    return escape(number(value))
