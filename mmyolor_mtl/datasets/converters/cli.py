"""What the command lines of the converters share."""

import argparse
import sys
from collections.abc import Callable

from .files import Findings
from .output import IMAGE_MODES


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--out``, ``--images`` and ``--skip-bad``."""
    parser.add_argument('--out', required=True, help='folder to make')
    parser.add_argument(
        '--images', choices=IMAGE_MODES, default='link', help='copy or link them to OUT/images, or leave them (link)'
    )
    parser.add_argument('--skip-bad', action='store_true', help='leave out what is wrong instead of stopping')


def parse_pair(text: str) -> tuple[str, str]:
    """'val=0.2' gives ('val', '0.2').

    Raises:
        argparse.ArgumentTypeError: There is no name or no value.
    """
    name, _, value = text.partition('=')
    if not name or not value:
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=VALUE')
    return name, value


def run(name: str, out: str, convert: Callable[[], tuple[dict[str, int], Findings]]) -> int:
    """Convert, then print what was written and what was left out; 0, or 2 on bad input."""
    try:
        counts, findings = convert()
    except (ValueError, OSError) as error:
        print(f'{name}: {error}', file=sys.stderr)
        return 2
    if findings.found:
        print(f'{name}: left out\n{findings.report()}', file=sys.stderr)
    print(f'{out}: ' + ', '.join(f'{count:,} {what}' for what, count in counts.items()))
    print(f'classes and ids for the config: {out}/metainfo.py')
    return 0
