"""Convert a folder in YOLO's text format to COCO's layout.

Example:
    python tools/dataset_converters/yolo_to_coco.py datasets/parts --out data/parts
"""

import argparse
import sys
from collections.abc import Sequence

from mmyolor_mtl.datasets.converters import convert_yolo
from mmyolor_mtl.datasets.converters.cli import add_output_arguments, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0 when the data are written, 2 on bad input."""
    parser = argparse.ArgumentParser(description="Convert a folder in YOLO's text format to COCO's layout.")
    parser.add_argument('source', help='folder with data.yaml or classes.txt, images and labels')
    add_output_arguments(parser)
    args = parser.parse_args(argv)
    return run(
        'yolo_to_coco',
        args.out,
        lambda: convert_yolo(args.source, args.out, images=args.images, skip_bad=args.skip_bad),
    )


if __name__ == '__main__':
    sys.exit(main())
