"""Make COCO 2017 ready: unpack and verify what is there, add what is derived, say what is missing.

Example:
    python tools/dataset_converters/prepare_coco.py data/coco --archives ~/downloads
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mmyolor_mtl.datasets.converters import PrepareSettings, missing_downloads, prepare_coco


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Make COCO 2017 ready for training. Nothing is downloaded.')
    parser.add_argument('root', type=Path, help='folder of the data set')
    parser.add_argument('--archives', type=Path, help='folder with the zip files (default: ROOT and folders in it)')
    parser.add_argument('--checksums', type=Path, help='file with md5, sha1 or sha256 lines for the zip files')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, help='how many at a time (one a core)')
    parser.add_argument(
        '--min-count', type=int, default=2, help='leave rarer words out of the vocabulary (%(default)s)'
    )
    parser.add_argument('--partial', action='store_true', help='accept fewer images and labels than COCO has')
    parser.add_argument('--check', action='store_true', help='only look, write nothing')
    args = parser.parse_args(argv)
    for name in ('workers', 'min_count'):
        if getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, got {getattr(args, name)}')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool.

    Returns:
        int: 0 when the data set is complete, 1 when something is missing, 2 on damaged input or a full disk.
    """
    settings = PrepareSettings(**vars(parse_args(argv)))
    try:
        items = prepare_coco(settings)
    except (ValueError, OSError) as error:
        print(f'prepare_coco: {error}', file=sys.stderr)
        return 2
    width = max(len(item.name) for item in items)
    for item in items:
        print(f'{"ok  " if item.ok else "LACK"}  {item.name:{width}}  {item.note}')
    for urls in missing_downloads(items, settings):
        print(f'get   {" or ".join(urls)}\n      into {settings.archives or settings.root}')
    complete = all(item.ok for item in items)
    print(f'{settings.root} is {"ready" if complete else "not complete"}')
    return 0 if complete else 1


if __name__ == '__main__':
    sys.exit(main())
