"""Generate Shapes, the embedded data set, in COCO's layout.

Example:
    python tools/dataset_converters/make_shapes.py --out data/shapes --train 2000 --val 200 --size 192 --seed 0
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from mmyolor_mtl.datasets.shapes import write_shapes


def parse_size(text: str) -> int | tuple[int, int]:
    """'192' gives 192, '256x192' gives (256, 192)."""
    try:
        sides = [int(side) for side in text.lower().split('x')]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise argparse.ArgumentTypeError(f'{text!r} is neither a side like 192 nor WIDTHxHEIGHT like 256x192')
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Generate Shapes, the embedded data set, in the layout of COCO.')
    parser.add_argument('--out', required=True, help='folder to make')
    parser.add_argument('--train', type=int, default=2000, help='training images (default: 2000)')
    parser.add_argument('--val', type=int, default=200, help='validation images, may be 0 (default: 200)')
    parser.add_argument('--size', type=parse_size, default=192, help='side in pixels or WIDTHxHEIGHT (default: 192)')
    parser.add_argument('--seed', type=int, default=0, help='equal seeds give equal bytes (default: 0)')
    parser.add_argument('--workers', type=int, default=os.cpu_count() or 1, help='processes (default: one a core)')
    parser.add_argument('--overwrite', action='store_true', help='replace an older Shapes data set in the folder')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0 when the data are written, 2 on bad input."""
    args = parse_args(argv)
    start = time.monotonic()
    terminal = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        if terminal:
            print(f'\r{done}/{total} images, {done / (time.monotonic() - start):.0f}/s', end='', file=sys.stderr)

    try:
        write_shapes(
            args.out,
            args.train,
            args.val,
            args.size,
            args.seed,
            workers=min(args.workers, max(1, (args.train + args.val) // 100)) if args.workers > 0 else args.workers,
            overwrite=args.overwrite,
            progress=show,
        )
    except (ValueError, OSError) as error:
        print(f'make_shapes: {error}', file=sys.stderr)
        return 2
    if terminal:
        print(file=sys.stderr)
    print(f'{args.out}: {args.train} training and {args.val} validation images in {time.monotonic() - start:.1f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
