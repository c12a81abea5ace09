"""Train a list of configs, each with several seeds, and put what came out and what it cost into one table.

Every run is a process of ``tools/train.py`` with a folder of its own, WORK_DIR/CONFIG/seedN. Called again, the tool
skips runs that are finished, goes on with those that were interrupted, and starts anew where the config has changed. A
run that fails is reported and the others go on. Configs whose networks differ in tasks alone are also compared pair by
pair: what the added tasks cost, what they bring, and what they do to the others.

Writes WORK_DIR/ablation.md and WORK_DIR/ablation.json, anew after every run.

Example::

    python tools/analysis_tools/run_ablation.py configs/ablations/*_shapes.py --seeds 0 1 2 --jobs 2
"""

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from mmyolor_mtl.datasets.converters.files import write_json, write_text
from mmyolor_mtl.evaluation.ablation_report import Variant, format_report, summarise
from mmyolor_mtl.utils.complexity import network_cost

TOOLS = Path(__file__).resolve().parents[1]
PLANS = {
    'run': 'to be run',
    'resume': 'goes on from its last checkpoint',
    'anew': 'starts anew, as the config has changed',
    'skip': 'finished',
}


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        config: Path of the config.
        seed: Its random seed.
        folder: Its work folder.
        digest: Of the config with all overrides; a finished run counts for this digest only.
    """

    config: Path
    seed: int
    folder: Path
    digest: str

    def record(self) -> dict[str, Any]:
        """What is known of earlier attempts, {} if nothing.

        Raises:
            ValueError: The record is damaged.
        """
        return read_json(self.folder / 'run.json')

    def action(self) -> str:
        """'run', 'resume', 'anew' or 'skip'."""
        record = self.record()
        if not record:
            return 'run'
        if record['digest'] != self.digest:
            return 'anew'
        if record['status'] == 'finished':
            return 'skip'
        return 'resume' if (self.folder / 'last_checkpoint').is_file() else 'run'


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file, {} if there is none.

    Raises:
        ValueError: It is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f'{path} is damaged ({error}): remove it to run this part again') from error


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='seeds of each config (0 1 2)')
    parser.add_argument('--work-dir', default='work_dirs/ablations', help='folder for everything (%(default)s)')
    parser.add_argument('--jobs', type=int, default=1, help='runs at a time (%(default)s)')
    parser.add_argument('--gpus', type=int, default=0, help='train with tools/dist_train.sh on so many (default: no)')
    parser.add_argument('--steps', type=int, default=5, help='steps timed in a round, 0: none (%(default)s)')
    parser.add_argument('--rounds', type=int, default=3, help='rounds of timing, the fastest counts (%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', default=[], help='as of tools/train.py')
    parser.add_argument('--dry-run', action='store_true', help='only show what would run')
    return parser


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read and check the command line."""
    parser = build_parser()
    args = parser.parse_args(argv)
    for config in args.configs:
        if not Path(config).is_file():
            parser.error(f'there is no config {config}')
    for name, values in (('config', [Path(c).stem for c in args.configs]), ('seed', args.seeds)):
        twice = [str(value) for value, count in Counter(values).items() if count > 1]
        if twice:
            parser.error(f'{name} given twice: {", ".join(twice)}')
    if args.jobs < 1 or args.rounds < 1 or args.gpus < 0 or args.steps < 0:
        parser.error('--jobs and --rounds must be at least 1, --gpus and --steps at least 0')
    if args.gpus and args.jobs > 1:
        parser.error('--gpus takes all devices for one run: leave --jobs at 1')
    return args


def load_variant(path: Path, options: Sequence[str]) -> tuple[Config, str]:
    """A config with the overrides of the command line, and a digest of the result."""
    cfg = Config.fromfile(path)
    if options:
        parser = argparse.ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=DictAction)
        cfg.merge_from_dict(parser.parse_args(['--cfg-options', *options]).cfg_options)
    content = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    return cfg, hashlib.sha256(content.encode()).hexdigest()[:16]


def train_command(run: Run, args: argparse.Namespace) -> list[str]:
    """The command line of a run."""
    command = [sys.executable, str(TOOLS / 'train.py'), str(run.config)]
    if args.gpus:
        command = ['bash', str(TOOLS / 'dist_train.sh'), str(run.config), str(args.gpus)]
    resume = ['--resume'] if run.action() == 'resume' else []
    options = ['--cfg-options', *args.cfg_options, f'randomness.seed={run.seed}']
    return [*command, '--work-dir', str(run.folder), *resume, *options]


def execute(run: Run, args: argparse.Namespace) -> dict[str, Any]:
    """Train; returns the run's record, which is also written into its folder.

    The record has ``status`` ('finished' or 'failed'), ``seconds`` of wall time, ``cpu_seconds`` of the process and
    those that it waited for, ``resumed``, and for a failure ``message``, the end of the log.
    """
    command, resumed = train_command(run, args), run.action() == 'resume'
    run.folder.mkdir(parents=True, exist_ok=True)
    if not resumed:
        for name in ('last_checkpoint', 'metrics.json'):
            (run.folder / name).unlink(missing_ok=True)
    record = dict(config=str(run.config), seed=run.seed, digest=run.digest, status='started', resumed=resumed)
    write_json(run.folder / 'run.json', record)
    began = time.monotonic()
    with open(run.folder / 'log.txt', 'a', encoding='utf-8') as log:
        environment = {**os.environ, 'PYTHON': sys.executable}  # for dist_train.sh
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        # Waits like Popen.wait(), and tells what this very process has used.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    record.update(
        status='finished',
        seconds=round(time.monotonic() - began, 1),
        cpu_seconds=round(usage.ru_utime + usage.ru_stime, 1),
    )
    if process.returncode or not (run.folder / 'metrics.json').is_file():
        end = (run.folder / 'log.txt').read_text(encoding='utf-8', errors='replace').strip().splitlines()[-15:]
        reason = f'exit status {process.returncode}' if process.returncode else 'it ended without metrics.json'
        record.update(status='failed', message='\n'.join([reason, *end]))
    write_json(run.folder / 'run.json', record)
    return record


def step_time(config: Path, args: argparse.Namespace) -> dict[str, float]:
    """Wall and CPU seconds of one optimisation step, medians of ``--steps``, in a process of its own.

    Raises:
        RuntimeError: It failed; the message holds the end of what it printed.
    """
    command = [sys.executable, str(TOOLS / 'analysis_tools' / 'measure_step.py'), str(config)]
    command += ['--warm-up', '2', '--steps', str(args.steps)]
    command += ['--cfg-options', *args.cfg_options] if args.cfg_options else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'timing {config} failed:\n{done.stderr[-2000:]}')
    figures = json.loads(done.stdout.splitlines()[-1])
    return dict(
        step_seconds=figures['seconds'], step_cpu_seconds=figures['cpu_seconds'], memory_gb=figures['peak_memory_gb']
    )


def measure_costs(variants: Sequence[Variant], work_dir: Path, args: argparse.Namespace) -> None:
    """Fill in what variants cost; kept in WORK_DIR/CONFIG/cost.json. In each round every variant has its turn.

    A variant without a finished run is not timed, as it may not be able to train at all.
    """
    missing = []
    for variant in variants:
        path = work_dir / variant.name / 'cost.json'
        known = read_json(path)
        timed = args.steps if any(run['status'] == 'finished' for run in variant.runs) else 0
        if known.get('digest') == variant.digest and timed in (0, known['steps']):
            variant.cost = known
        else:
            variant.cost = dict(digest=variant.digest, steps=timed, **network_cost(variant.cfg))
            missing.append((variant, path))
    for _ in range(args.rounds):
        for variant, _ in missing:
            if variant.cost['steps']:
                for key, value in step_time(variant.path, args).items():
                    variant.cost[key] = min(value, variant.cost.get(key, value))
    for variant, path in missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, variant.cost)


def write_report(variants: Sequence[Variant], runs: Sequence[Run], work_dir: Path) -> str:
    """Collect all finished runs and write both files; returns the Markdown."""
    for variant in variants:
        own = [run for run in runs if run.config == variant.path]
        records = [dict(run.record(), metrics=read_json(run.folder / 'metrics.json')) for run in own]
        variant.runs = [record for record in records if record.get('digest') == variant.digest]
    summary = summarise(variants)
    text = format_report(summary)
    write_text(work_dir / 'ablation.json', json.dumps(summary, indent=2) + '\n')
    write_text(work_dir / 'ablation.md', text)
    return text


def train_all(variants: Sequence[Variant], runs: Sequence[Run], args: argparse.Namespace) -> int:
    """Train what is not finished, ``--jobs`` at a time, with a report after each; returns the number of failures."""
    lock, failed = threading.Lock(), 0

    def train(run: Run) -> None:
        nonlocal failed
        record = execute(run, args)
        with lock:
            print(f'{run.folder}: {record["status"]} after {record["seconds"]:.0f} s', flush=True)
            if record['status'] == 'failed':
                failed += 1
                print(record['message'], file=sys.stderr, flush=True)
            write_report(variants, runs, Path(args.work_dir))

    write_report(variants, runs, Path(args.work_dir))
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = [pool.submit(train, run) for run in runs if run.action() != 'skip']
        try:
            for job in jobs:
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return failed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 1 if a run failed, 2 on a damaged record."""
    args = parse_args(argv)
    work_dir = Path(args.work_dir)
    variants = [Variant(Path(config), *load_variant(Path(config), args.cfg_options)) for config in args.configs]
    # Seeds outside: after the first of them there is a table of everything.
    runs = [
        Run(variant.path, seed, work_dir / variant.name / f'seed{seed}', variant.digest)
        for seed in args.seeds
        for variant in variants
    ]
    try:
        for run in runs:
            print(f'{run.folder}: {PLANS[run.action()]}')
            if args.dry_run and run.action() != 'skip':
                print(f'  {shlex.join(train_command(run, args))}')
        if args.dry_run:
            return 0
        work_dir.mkdir(parents=True, exist_ok=True)
        failed = train_all(variants, runs, args)
        measure_costs(variants, work_dir, args)
        print(write_report(variants, runs, work_dir))
    except (ValueError, RuntimeError) as error:
        print(f'run_ablation: {error}', file=sys.stderr)
        return 2
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
