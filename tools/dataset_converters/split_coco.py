"""Split annotation files in COCO's layout, image by image, alike in all of them.

Example:
    python tools/dataset_converters/split_coco.py data/custom/annotations/*.json --ratios train=0.8 val=0.2
    python tools/dataset_converters/split_coco.py data/voc/annotations/*.json --lists val=val.txt --rest train
"""

import argparse
import sys
from collections.abc import Sequence

from mmyolor_mtl.datasets.converters import split_coco
from mmyolor_mtl.datasets.converters.cli import parse_pair


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0 when the files are written, 2 on bad input."""
    parser = argparse.ArgumentParser(description="Split annotation files in COCO's layout.")
    parser.add_argument('files', nargs='+', help='files of one data set: instances, captions, stuff, panoptic')
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument('--ratios', nargs='+', type=parse_pair, metavar='NAME=SHARE', help='e.g. train=0.8 val=0.2')
    kind.add_argument('--lists', nargs='+', type=parse_pair, metavar='NAME=FILE', help='text files that name images')
    parser.add_argument('--rest', metavar='NAME', help='with --lists: split of all other images (default: left out)')
    parser.add_argument('--seed', type=int, default=0, help='another one draws another split (%(default)s)')
    parser.add_argument('--out-dir', help='folder of the results (default: beside the originals)')
    args = parser.parse_args(argv)
    if args.rest and not args.lists:
        parser.error('--rest goes with --lists')
    try:
        ratios = {name: _share(name, value) for name, value in args.ratios} if args.ratios else None
        lists = dict(args.lists) if args.lists else None
        counts = split_coco(
            args.files, ratios=ratios, lists=lists, rest=args.rest, seed=args.seed, out_dir=args.out_dir
        )
    except (ValueError, OSError) as error:
        print(f'split_coco: {error}', file=sys.stderr)
        return 2
    print(', '.join(f'{name}: {count:,} images' for name, count in counts.items()))
    return 0


def _share(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f'--ratios {name}={value}: {value!r} is not a number') from None


if __name__ == '__main__':
    sys.exit(main())
