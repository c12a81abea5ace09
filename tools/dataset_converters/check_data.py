"""Check the files of a data set before training, and write repaired copies of its annotations.

Examples:
    python tools/dataset_converters/check_data.py --images data/pets/images --instances data/pets/instances.json
    python tools/dataset_converters/check_data.py --config CONFIG.py --fix data/repaired
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmyolor_mtl.datasets.label_files import LabelFiles, add_arguments, from_arguments
from mmyolor_mtl.datasets.repair import plan_copies, write_repaired
from mmyolor_mtl.datasets.validation.problems import by_kind


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Check images and labels of a data set. Exit code 0: sound (there may be warnings), 1: errors were '
        'found, 2: wrong usage.'
    )
    parser.add_argument('--config', help='check the data sets of this config instead of single files')
    add_arguments(parser)
    parser.add_argument(
        '--level',
        choices=('header', 'decode'),
        default='decode',
        help='decode images and maps, or read only their headers and ends, as training does (default: decode)',
    )
    parser.add_argument('--show', type=int, default=3, metavar='N', help='examples of each kind (default: 3)')
    parser.add_argument('--report', metavar='FILE', help='write every finding to this JSON')
    parser.add_argument('--fix', metavar='OUT_DIR', help='write repaired copies of the JSON files to this folder')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0 for sound data, 1 for errors, 2 for wrong usage."""
    args = parse_args(argv)
    try:
        data_sets = from_arguments(args, args.config)
        if args.report and os.path.exists(args.report):
            raise FileExistsError(f'{args.report} exists: give --report another name')
        folders = fix_folders(data_sets, args.fix)
        reports = [examine(files, folder, args) for files, folder in zip(data_sets, folders, strict=True)]
    except (ValueError, OSError) as error:
        print(f'check_data: {error}', file=sys.stderr)
        return 2
    if args.report:
        Path(args.report).write_text(json.dumps(reports, indent=1), encoding='utf-8')
        print(f'every finding is in {args.report}')
    return int(any(report['remaining' if args.fix else 'errors'] for report in reports))


def fix_folders(data_sets: Sequence[LabelFiles], out_dir: str | None) -> list[Path | None]:
    """Folder for the repaired copies of each data set: one of its own if there are several.

    Raises:
        FileExistsError, ValueError: The copies cannot be written there.
    """
    if not out_dir:
        return [None] * len(data_sets)
    names = ['.'] if len(data_sets) == 1 else [f'{i}_{Path(files.name).stem}' for i, files in enumerate(data_sets)]
    folders = [Path(out_dir, name) for name in names]
    for files, folder in zip(data_sets, folders, strict=True):
        plan_copies(files, folder)
    return list(folders)


def examine(files: LabelFiles, folder: Path | None, args: argparse.Namespace) -> dict[str, Any]:
    """Check one data set, write repaired copies if a folder is given, and print what was found.

    Returns:
        dict: ``source, images, coverage, errors, warnings, changes, remaining``; the last four by kind.
    """
    problems = files.check(args.level, Progress('checked'))
    report: dict[str, Any] = {
        'source': files.name,
        'errors': by_kind(problems.found),
        'warnings': by_kind(problems.warnings),
        'changes': {},
        'remaining': {},
    }
    readable = 'annotation file' not in report['errors']
    if not report['errors']:
        report['coverage'] = {'+'.join(tasks) or 'none': n for tasks, n in files.coverage().most_common()}
    print_report(report, args.show)
    if folder and not readable:
        report['remaining'] = report['errors']
        print('nothing was repaired: the files cannot be read as COCO annotations')
    elif folder:
        repaired, changes = write_repaired(files, folder)
        report['changes'] = by_kind(changes)
        report['remaining'] = by_kind(repaired.check(args.level, Progress('checked again')).found)
        print_groups(f'repaired copies in {folder}', report['changes'], args.show)
        print_groups('cannot be repaired, correct it by hand', report['remaining'], args.show)
    return report


def print_report(report: dict[str, Any], show: int) -> None:
    """Print errors, warnings and label coverage of one data set."""
    print(f'== {report["source"]}')
    if 'coverage' in report:
        total = sum(report['coverage'].values())
        print(f'{total} images, labelled for')
        for tasks, number in report['coverage'].items():
            print(f'  {tasks:20} {number:8}  {number / total:7.2%}')
    print_groups('errors', report['errors'], show)
    print_groups('warnings: left out or cut on loading', report['warnings'], show)
    if not report['errors']:
        print('no errors')


def print_groups(title: str, groups: dict[str, list[str]], show: int) -> None:
    """Print counts by kind with the first examples; nothing if there is nothing."""
    if not groups:
        return
    counts = Counter({kind: len(texts) for kind, texts in groups.items()})
    print(f'{title}: {counts.total()}')
    for kind, number in counts.most_common():
        print(f'  {kind}: {number}')
        for text in groups[kind][:show]:
            print(f'    - {text}')
        if number > show:
            print(f'    ... and {number - show} more')


class Progress:
    """A line that counts up, on a terminal only.

    Args:
        verb (str): What is done with the images.
    """

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.start = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Show how many are done."""
        if sys.stderr.isatty():
            speed = done / max(time.monotonic() - self.start, 1e-3)
            end = '\n' if done == total else ''
            print(f'\r{done}/{total} images {self.verb}, {speed:.0f}/s', end=end, file=sys.stderr, flush=True)


if __name__ == '__main__':
    sys.exit(main())
