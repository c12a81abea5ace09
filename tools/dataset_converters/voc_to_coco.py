"""Convert a folder in Pascal VOC's layout to COCO's layout.

Example:
    python tools/dataset_converters/voc_to_coco.py VOCdevkit/VOC2012 --out data/voc --background background
"""

import argparse
import sys
from collections.abc import Sequence

from mmyolor_mtl.datasets.converters import convert_voc
from mmyolor_mtl.datasets.converters.classes import read_names
from mmyolor_mtl.datasets.converters.cli import add_output_arguments, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0 when the data are written, 2 on bad input."""
    parser = argparse.ArgumentParser(description="Convert a folder in Pascal VOC's layout to COCO's layout.")
    parser.add_argument('source', help='folder with Annotations and JPEGImages')
    parser.add_argument('--classes', metavar='FILE', help='class names, one a line (default: VOC, or what occurs)')
    parser.add_argument('--background', metavar='NAME', help='make semantic maps, with a stuff class for the rest')
    parser.add_argument('--zero-based', action='store_true', help='the first pixel is 0 (default: 1, as in VOC)')
    add_output_arguments(parser)
    args = parser.parse_args(argv)
    return run(
        'voc_to_coco',
        args.out,
        lambda: convert_voc(
            args.source,
            args.out,
            read_names(args.classes) if args.classes else None,
            background=args.background,
            zero_based=args.zero_based,
            images=args.images,
            skip_bad=args.skip_bad,
        ),
    )


if __name__ == '__main__':
    sys.exit(main())
