"""Draw how far the gradients of the tasks agreed while training, from the file of ``GradConflictHook``.

Example::

    python tools/analysis_tools/plot_conflict.py work_dirs/RUN/grad_conflict.jsonl --out conflict.png
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use('Agg')

Series = dict[str, tuple[list[int], list[float]]]


def read(path: Path) -> dict[str, dict[str, Series]]:
    """Curves by layer, kind ('cosine', 'norm_ratio') and pair of tasks: iterations and values.

    Where an iteration is there twice, as after a resume, its later line counts. A last line that was cut off is left
    out.

    Raises:
        ValueError: A line is not what the hook writes, or there is no figure at all.
    """
    lines = path.read_text(encoding='utf-8').split('\n')
    looks: dict[int, dict] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            look = json.loads(line)
            looks[look['iter']] = look['layers']
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):
                break
            raise ValueError(f'{path}, line {number}: {error!r}; not a line of GradConflictHook') from error
    curves: dict[str, dict[str, Series]] = {}
    for iteration, layers in sorted(looks.items()):
        for layer, found in layers.items():
            for kind in ('cosine', 'norm_ratio'):
                for pair, value in found[kind].items():
                    series = curves.setdefault(layer, {'cosine': {}, 'norm_ratio': {}})[kind]
                    iterations, values = series.setdefault(pair, ([], []))
                    iterations.append(iteration)
                    values.append(value)
    if not curves:
        raise ValueError(f'{path} holds no figures: no batch had labels of two tasks that pass the same layer')
    return curves


def draw(curves: dict[str, dict[str, Series]], window: int) -> Figure:
    """A row of two plots for each layer; with ``window`` > 1 lines are running means, over faint values."""
    figure = Figure(figsize=(12, 0.8 + 2.9 * len(curves)), layout='constrained')
    axes = figure.subplots(len(curves), 2, squeeze=False, sharex=True)
    pairs = list(dict.fromkeys(pair for kinds in curves.values() for pair in kinds['cosine']))
    colours = dict(zip(pairs, matplotlib.color_sequences['tab10'], strict=False))
    for (left, right), (layer, kinds) in zip(axes, curves.items(), strict=True):
        for axis, kind in ((left, 'cosine'), (right, 'norm_ratio')):
            for pair, (iterations, values) in kinds[kind].items():
                _draw_line(axis, iterations, values, window, kind == 'norm_ratio', color=colours[pair], label=pair)
            axis.axhline(0 if kind == 'cosine' else 1, color='0.3', linewidth=0.8, linestyle='--')
            axis.grid(alpha=0.3)
        left.set_ylim(-1.05, 1.05)
        left.axhspan(-1.05, 0, color='tab:red', alpha=0.06)
        left.set_title(f'{layer}: cosine (below 0 the tasks conflict)', fontsize=10)
        right.set_yscale('log')
        right.set_title(f'{layer}: norm of the first / norm of the second', fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel('iteration')
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper center', ncols=len(labels), frameon=False)
    return figure


def _draw_line(axis: Axes, iterations: list[int], values: list[float], window: int, log: bool, **style: Any) -> None:
    if window == 1 or len(values) < 2:
        axis.plot(iterations, values, marker='.', linewidth=1.2, **style)
        return
    axis.plot(iterations, values, linewidth=0.6, alpha=0.3, color=style['color'])
    numbers = np.log(values) if log else np.asarray(values)
    sums = np.cumsum(np.concatenate([[0.0], numbers]))
    ends = np.arange(1, len(numbers) + 1)
    begins = np.maximum(ends - window, 0)
    means = (sums[ends] - sums[begins]) / (ends - begins)
    axis.plot(iterations, np.exp(means) if log else means, linewidth=1.6, **style)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0 when the picture is written, 2 on bad input."""
    parser = argparse.ArgumentParser(description='Draw cosines and norm ratios of task gradients over training.')
    parser.add_argument('file', help='grad_conflict.jsonl of a run')
    parser.add_argument('--out', help='picture to write (default: the file with the ending .png)')
    parser.add_argument('--layers', nargs='+', help='only these, named as in the config of the hook')
    parser.add_argument('--window', type=int, default=1, help='looks that a running mean takes in (%(default)s)')
    args = parser.parse_args(argv)
    out = Path(args.out or Path(args.file).with_suffix('.png'))
    try:
        if args.window < 1:
            raise ValueError(f'--window {args.window} must be at least 1')
        curves = read(Path(args.file))
        unknown = sorted(set(args.layers or ()) - set(curves))
        if unknown:
            raise ValueError(f'--layers {unknown} are not in {args.file}, which has {sorted(curves)}')
        figure = draw({layer: curves[layer] for layer in args.layers or curves}, args.window)
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = out.with_name(f'{out.name}.{os.getpid()}.tmp')
        figure.savefig(draft, format='png', dpi=110)
        os.replace(draft, out)
    except (ValueError, OSError) as error:
        print(f'plot_conflict: {error}', file=sys.stderr)
        return 2
    print(out)
    return 0


if __name__ == '__main__':
    sys.exit(main())
