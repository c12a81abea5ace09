"""Convert LabelMe's files to COCO's layout: objects, semantic maps, captions.

Example:
    python tools/dataset_converters/labelme_to_coco.py photos/ --out data/custom --things car person --stuff road sky
"""

import argparse
import sys
from collections.abc import Sequence

from mmyolor_mtl.datasets.converters import convert_labelme
from mmyolor_mtl.datasets.converters.cli import add_output_arguments, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0 when the data are written, 2 on bad input."""
    parser = argparse.ArgumentParser(description="Convert LabelMe's files to COCO's layout.")
    parser.add_argument('source', help='folder with the JSON files and their images')
    parser.add_argument('--things', nargs='+', help='labels of objects, in order (default: all that are not stuff)')
    parser.add_argument('--stuff', nargs='+', default=[], help='labels of regions, for semantic maps, in order')
    add_output_arguments(parser)
    args = parser.parse_args(argv)
    return run(
        'labelme_to_coco',
        args.out,
        lambda: convert_labelme(
            args.source, args.out, args.things, args.stuff, images=args.images, skip_bad=args.skip_bad
        ),
    )


if __name__ == '__main__':
    sys.exit(main())
