"""Merge data sets in COCO's layout: classes by name, new ids where the old ones clash.

Example:
    python tools/dataset_converters/merge_coco.py --out data/both \
        --set instances=data/north/annotations/instances.json captions=data/north/annotations/captions.json \
              classes=data/north/classes.json maps=data/north/stuffthingmaps prefix=north/ \
        --set instances=data/south/annotations/instances.json classes=data/south/classes.json prefix=south/
"""

import argparse
import sys
from collections.abc import Sequence

from mmyolor_mtl.datasets.converters import merge_coco
from mmyolor_mtl.datasets.converters.cli import parse_pair
from mmyolor_mtl.datasets.converters.merge import OPTIONS


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0 when the data are written, 2 on bad input."""
    parser = argparse.ArgumentParser(description="Merge data sets in COCO's layout.")
    parser.add_argument(
        '--set',
        dest='sets',
        action='append',
        nargs='+',
        type=parse_pair,
        required=True,
        metavar='KEY=VALUE',
        help=f'a data set, once for each; keys: {", ".join(OPTIONS)}',
    )
    parser.add_argument('--out', required=True, help='folder to make')
    args = parser.parse_args(argv)
    try:
        counts = merge_coco([dict(pairs) for pairs in args.sets], args.out)
    except (ValueError, OSError) as error:
        print(f'merge_coco: {error}', file=sys.stderr)
        return 2
    print(f'{args.out}: ' + ', '.join(f'{count:,} {what}' for what, count in counts.items()))
    return 0


if __name__ == '__main__':
    sys.exit(main())
