"""Training speed and memory of some configs, as a table; optionally each against itself with other settings.

Every measurement is a process of its own (``measure_step.py``), as peak memory belongs to a process; the sides of a
comparison take turns, and the fastest round counts. ``--keep-memory`` lets glibc keep freed memory instead of handing
every large tensor back to the system, which on CPUs costs a good part of a step; the table says which was used.

Example::

    python tools/analysis_tools/benchmark_train.py CONFIG --batch-size 4 --steps 3 \
        --against model.train_cfg.views_in_turn=False
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmyolor_mtl.utils.benchmark import KEEP_MEMORY

MEASURE = Path(__file__).resolve().with_name('measure_step.py')
COLUMNS = dict(
    images_per_second='images/s', seconds='s a step', data_share='data', peak_memory_gb='GB', step_memory_gb='GB a step'
)


def parse_args(argv: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """Read the command line; what is not known here goes to ``measure_step.py``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument('--against', nargs='+', metavar='KEY=VALUE', help='settings of the second side, if any')
    parser.add_argument('--rounds', type=int, default=1, help='measurements of each side (default: 1)')
    parser.add_argument('--keep-memory', action='store_true', help='let glibc keep freed memory')
    args, rest = parser.parse_known_args(argv)
    for config in args.configs:
        if not Path(config).is_file():
            parser.error(f'there is no config {config}')
    if args.rounds < 1:
        parser.error(f'--rounds {args.rounds} must be at least 1')
    return args, rest


def measure(config: str, options: Sequence[str], keep_memory: bool) -> dict[str, Any]:
    """Figures of one process.

    Raises:
        RuntimeError: It failed; the message holds the end of what it printed.
    """
    env = {**os.environ, **(KEEP_MEMORY if keep_memory else {})}
    done = subprocess.run([sys.executable, str(MEASURE), config, *options], capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(f'measure_step.py {config} failed:\n{done.stderr[-3000:]}')
    figures = json.loads(done.stdout.splitlines()[-1])
    return {**figures, 'data_share': round(figures['data_seconds'] / figures['seconds'], 3)}


def compare(config: str, args: argparse.Namespace, options: Sequence[str]) -> list[dict[str, Any]]:
    """Best round of each side."""
    sides = [list(options)]
    if args.against:
        extra = ['--cfg-options', *args.against]
        if '--cfg-options' in options:
            raise SystemExit('--against and --cfg-options exclude each other: put common settings into a config')
        sides.append([*options, *extra])
    rounds = [[measure(config, side, args.keep_memory) for side in sides] for _ in range(args.rounds)]
    best = [min(figures, key=lambda one: one['seconds']) for figures in zip(*rounds, strict=True)]
    for figures, name in zip(best, ('as it is', ' '.join(args.against or ())), strict=False):
        figures.update(config=Path(config).stem, side=name)
    return best


def format_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown table of the measurements; the second side of a comparison has its ratio to the first in brackets."""
    titles = ('config', 'setting', 'batch', *COLUMNS.values())
    lines = [f'| {" | ".join(titles)} |', f'|{" --- |" * len(titles)}']
    first: dict[str, Any] = {}
    for row in rows:
        cells = []
        for key in COLUMNS:
            ratio = f' ({row[key] / first[key]:.2f}x)' if first.get('config') == row['config'] and first[key] else ''
            cells.append(f'{row[key]:.2f}{ratio}')
        if first.get('config') != row['config']:
            first = row
        lines.append(f'| {row["config"]} | {row["side"]} | {row["batch_size"]} | {" | ".join(cells)} |')
    one = rows[0]
    lines.append(
        f'\n{one["device"]}, {one["threads"]} threads, {one["workers"]} loading processes, malloc: {one["malloc"]}'
    )
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Print every measurement as JSON, then the table."""
    args, options = parse_args(argv)
    rows = []
    for config in args.configs:
        for row in compare(config, args, options):
            print(json.dumps(row), flush=True)
            rows.append(row)
    print(format_table(rows))


if __name__ == '__main__':
    main()
