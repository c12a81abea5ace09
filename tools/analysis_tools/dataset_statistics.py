"""Count what a data set holds: a table, a JSON and plots.

Examples:
    python tools/analysis_tools/dataset_statistics.py CONFIG.py --out-dir work_dirs/statistics
    python tools/analysis_tools/dataset_statistics.py --instances data/pets/instances.json --out-dir work_dirs/pets
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmyolor_mtl.datasets.label_files import add_arguments, from_arguments
from mmyolor_mtl.datasets.statistics import LARGE, SMALL, DatasetStatistics, collect_statistics
from mmyolor_mtl.models.text.tokenizer import split_words

matplotlib.use('Agg')

_ROWS = 45  # classes in one column of a plot
_BLUE, _GREEN, _GREY = '#2b6cb0', '#5a9e5a', '#9aa5b1'


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Count what a data set holds, and plot it.')
    parser.add_argument('config', nargs='?', help='a config, whose data sets are counted; or name files instead:')
    add_arguments(parser)
    parser.add_argument('--out-dir', required=True, help='folder for statistics.json and the plots')
    parser.add_argument('--max-maps', type=int, default=1000, help='semantic maps to read at most (default: 1000)')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0 when all is written, 2 on bad input."""
    args = parse_args(argv)
    try:
        data_sets = from_arguments(args, args.config)
        for number, files in enumerate(data_sets):
            statistics = collect_statistics(files, split_words, args.max_maps, show_progress)
            folder = Path(args.out_dir, *([f'{number}_{Path(files.name).stem}'] if len(data_sets) > 1 else []))
            write(statistics, folder)
            print(table(statistics))
            print(f'plots and statistics.json are in {folder}\n')
    except (ValueError, OSError) as error:
        hint = 'tools/dataset_converters/check_data.py finds all faults of the files'
        print(f'dataset_statistics: {error}\n{hint}', file=sys.stderr)
        return 2
    return 0


def show_progress(done: int, total: int) -> None:
    """Count up in one line, on a terminal only."""
    if sys.stderr.isatty():
        print(f'\r{done}/{total} semantic maps', end='\n' if done == total else '', file=sys.stderr, flush=True)


def write(statistics: DatasetStatistics, folder: Path) -> None:
    """Write ``statistics.json`` and one PNG a plot; files of these names are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in plots(statistics):
        draft = folder / f'{name}.{os.getpid()}.tmp'
        figure.savefig(draft, format='png', dpi=110)
        draft.replace(folder / f'{name}.png')
    draft = folder / f'statistics.{os.getpid()}.tmp'
    draft.write_text(json.dumps(statistics.summary(), indent=1), encoding='utf-8')
    draft.replace(folder / 'statistics.json')


def table(statistics: DatasetStatistics) -> str:
    """The figures as text."""
    found = statistics.summary()
    lines = [f'== {found["source"]}', f'{found["images"]} images, labelled for']
    lines += [f'  {tasks:20} {n:9}  {n / max(found["images"], 1):7.2%}' for tasks, n in found['coverage'].items()]
    lines.append(f'{"":26}{"min":>9}{"median":>9}{"mean":>9}{"max":>9}')
    rows = {
        'image width, px': 'image_width',
        'image height, px': 'image_height',
        'objects an image': 'objects_per_image',
    }
    rows |= {'box, sqrt of area, px': 'box_sqrt_area', 'words a caption': 'words_per_caption'}
    for title, key in rows.items():
        one = found[key]
        if one:
            lines.append(f'  {title:24}{one["min"]:9.0f}{one["median"]:9.0f}{one["mean"]:9.1f}{one["max"]:9.0f}')
    lines += _object_lines(statistics, found) + _map_lines(statistics, found)
    if found['captions']:
        words = found['vocabulary']
        lines.append(f'{found["captions"]} captions, {words["words"]} words, {words["occurring_once"]} of them once')
    return '\n'.join(lines)


def _object_lines(statistics: DatasetStatistics, found: dict[str, Any]) -> list[str]:
    total = found['objects']
    if not total:
        return []
    sizes = ', '.join(f'{n / total:.1%} {size}' for size, n in found['objects_by_size'].items())
    lines = [f'{total} objects ({sizes}), {found["crowds"]} crowds', f'  {"class":24}{"objects":>9}{"images":>9}']
    for i in np.argsort(-statistics.objects, kind='stable'):
        lines.append(f'  {statistics.names[i]:24}{statistics.objects[i]:9}{statistics.images_with[i]:9}')
    return lines


def _map_lines(statistics: DatasetStatistics, found: dict[str, Any]) -> list[str]:
    maps = found['semantic_maps']
    if not maps['sampled']:
        return []
    empty = int((statistics.pixels == 0).sum())
    lines = [
        f'{maps["sampled"]} of {maps["all"]} semantic maps read: {found["unlabelled_pixels"]:.1%} of the pixels are '
        f'unlabelled, {empty} classes do not occur',
        f'  {"semantic class":24}{"pixels":>9}',
    ]
    for i in np.argsort(-statistics.pixels, kind='stable'):
        if statistics.pixels[i]:
            lines.append(f'  {statistics.names[i]:24}{statistics.pixels[i] / statistics.pixels.sum():9.2%}')
    return lines


def plots(statistics: DatasetStatistics) -> Iterator[tuple[str, Figure]]:
    """Name and figure of each plot for which there are data."""
    yield 'coverage', plot_coverage(statistics)
    yield 'image_sizes', plot_image_sizes(statistics)
    if len(statistics.sides):
        order = np.argsort(-statistics.objects, kind='stable')
        bars = [('objects', statistics.objects, _BLUE), ('images', statistics.images_with, _GREY)]
        names = [statistics.names[i] for i in order]
        values = [(label, counts[order], colour) for label, counts, colour in bars]
        yield 'objects_by_class', plot_classes(names, values, 'Objects, and images with such objects')
        yield 'box_sizes', plot_box_sizes(statistics)
        top = int(np.percentile(statistics.per_image, 99.5)) + 1
        title = f'Objects an image (mean {statistics.per_image.mean():.1f}, up to {statistics.per_image.max()})'
        yield 'objects_per_image', plot_whole_numbers(statistics.per_image, top, title, 'images')
    if statistics.maps[0]:
        yield 'pixels_by_class', plot_pixels(statistics)
    if len(statistics.caption_lengths):
        top = int(np.percentile(statistics.caption_lengths, 99.9)) + 1
        title = (
            f'Words a caption (mean {statistics.caption_lengths.mean():.1f}, up to {statistics.caption_lengths.max()})'
        )
        yield 'caption_lengths', plot_whole_numbers(statistics.caption_lengths, top, title, 'captions')
        yield 'vocabulary', plot_vocabulary(statistics)


def plot_coverage(statistics: DatasetStatistics) -> Figure:
    """Bars: images by the tasks they are labelled for."""
    groups = statistics.coverage.most_common()
    figure = Figure(figsize=(8, 1.2 + 0.4 * len(groups)), layout='constrained')
    axes = figure.subplots()
    names = [' + '.join(tasks) or 'nothing' for tasks, _ in groups]
    counts = np.array([number for _, number in groups])
    bars = axes.barh(names, counts, color=_BLUE)
    axes.bar_label(bars, [f' {n} ({n / counts.sum():.1%})' for n in counts])
    axes.invert_yaxis()
    axes.set(title='Labels of the images', xlabel='images', xlim=(0, counts.max() * 1.25))
    return figure


def plot_image_sizes(statistics: DatasetStatistics) -> Figure:
    """Scatter: width against height, larger dots for more images."""
    sizes, counts = np.unique(statistics.sizes, axis=0, return_counts=True)
    figure = Figure(figsize=(6.5, 6), layout='constrained')
    axes = figure.subplots()
    axes.scatter(sizes[:, 0], sizes[:, 1], s=8 + 400 * counts / counts.sum(), alpha=0.5, color=_BLUE, linewidths=0)
    limit = statistics.sizes.max() * 1.05
    axes.plot([0, limit], [0, limit], color=_GREY, linewidth=0.8, zorder=0)
    axes.set(title=f'Image sizes ({len(sizes)} different)', xlabel='width, px', ylabel='height, px')
    axes.set(xlim=(0, limit), ylim=(0, limit), aspect='equal')
    return figure


def plot_classes(names: Sequence[str], bars: Sequence[tuple[str, np.ndarray, Any]], title: str) -> Figure:
    """Horizontal bars of many classes, in columns, on one logarithmic scale.

    Args:
        names (Sequence[str]): Names of the classes, from the top.
        bars (Sequence): Label, (n,) values and colour (or (n,) colours) of each series; the last one in front.
        title (str): Title.
    """
    columns = -(-len(names) // _ROWS)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(1.2 + 4.2 * columns, 1.6 + 0.21 * rows), layout='constrained')
    figure.suptitle(title)
    shown = np.concatenate([values[values > 0] for _, values, _ in bars])
    low, high = shown.min(initial=1), shown.max(initial=1)
    for column, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        part = slice(column * rows, min((column + 1) * rows, len(names)))
        place = np.arange(part.stop - part.start)
        axes.set(xlim=(low / 2, high * 1.5), xscale='log')  # first: a column may have nothing to scale by
        for width, (label, values, colour) in zip((0.85, 0.4), bars, strict=False):
            colours = colour if isinstance(colour, str) else colour[part]
            axes.barh(place, values[part], height=width, color=colours, label=label)
        axes.set_yticks(place, [name if len(name) < 25 else f'{name[:23]}...' for name in names[part]], fontsize=8)
        axes.set_ylim(rows - 0.4, -0.6)
        axes.grid(axis='x', color='0.9')
        axes.set_axisbelow(True)
        if column == columns - 1 and len(bars) > 1:
            axes.legend(loc='lower right')
    return figure


def plot_box_sizes(statistics: DatasetStatistics) -> Figure:
    """Histogram of the square root of the box areas, logarithmic, with COCO's bounds."""
    figure = Figure(figsize=(8, 4.5), layout='constrained')
    axes = figure.subplots()
    low, high = max(statistics.sides.min(), 1), max(statistics.sides.max(), 2)
    axes.hist(np.maximum(statistics.sides, 1), bins=np.geomspace(low, high, 50).tolist(), color=_BLUE)
    axes.set_xscale('log')
    for bound in (SMALL, LARGE):
        axes.axvline(bound, color='black', linewidth=0.8, linestyle='--')
    shares = ', '.join(f'{n / len(statistics.sides):.1%} {size}' for size, n in statistics.size_shares().items())
    axes.set(title=f'Size of {len(statistics.sides)} boxes: {shares}', xlabel='square root of the area, px')
    axes.set_ylabel('objects')
    ticks = [tick for tick in (1, 2, 4, 8, 16, 32, 64, 96, 128, 256, 512, 1024, 2048) if low <= tick <= high]
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    return figure


def plot_whole_numbers(values: np.ndarray, top: int, title: str, what: str) -> Figure:
    """Bars: how often each whole number from 0 to ``top`` occurs; all above count as ``top``."""
    figure = Figure(figsize=(8, 4), layout='constrained')
    axes = figure.subplots()
    counts = np.bincount(np.minimum(values, top), minlength=top + 1)
    axes.bar(np.arange(top + 1), counts, width=0.9, color=_BLUE)
    axes.set(title=title, ylabel=what)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if values.max() > top:
        axes.annotate(f'{top} or more', (top, counts[-1]), xytext=(0, 6), textcoords='offset points', ha='right')
    return figure


def plot_pixels(statistics: DatasetStatistics) -> Figure:
    """Bars: share of the labelled pixels of each semantic class that occurs, things and stuff in two colours."""
    order = np.argsort(-statistics.pixels, kind='stable')
    order = order[statistics.pixels[order] > 0]
    shares = 100 * statistics.pixels[order] / max(statistics.pixels.sum(), 1)
    colours = np.where(order < statistics.num_things, _BLUE, _GREEN)
    absent = len(statistics.names) - len(order)
    title = (
        f'Share of the labelled pixels in percent ({statistics.maps[0]} of {statistics.maps[1]} maps; things blue, '
        f'stuff green; {absent} classes do not occur)'
    )
    return plot_classes([statistics.names[i] for i in order], [('pixels', shares, colours)], title)


def plot_vocabulary(statistics: DatasetStatistics) -> Figure:
    """How often words occur, by rank, and the commonest ones."""
    figure = Figure(figsize=(10, 5), layout='constrained')
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    counts = sorted(statistics.words.values(), reverse=True)
    left.loglog(np.arange(1, len(counts) + 1), counts, color=_BLUE)
    left.set(title=f'{len(counts)} words', xlabel='rank', ylabel='occurrences')
    left.grid(color='0.9')
    words = statistics.words.most_common(25)
    right.barh([word for word, _ in words], [number for _, number in words], color=_BLUE)
    right.invert_yaxis()
    right.tick_params(axis='y', labelsize=8)
    right.set(title='the commonest', xlabel='occurrences')
    return figure


if __name__ == '__main__':
    sys.exit(main())
