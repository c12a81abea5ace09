"""Pictures and JSON of everything a trained network sees in images.

Example:
    python demo/image_demo.py photos/ CHECKPOINT.pth --out-dir outputs
    python demo/image_demo.py 'photos/**/*.jpg' CONFIG.py CHECKPOINT.pth --tasks det cap --no-pictures
"""

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from mmyolor_mtl.apis.command_line import add_model_arguments, build_inferencer, check_model_arguments
from mmyolor_mtl.apis.sources import count_images, list_sources


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Detect, mask, label pixels and describe: pictures and one JSON file.')
    parser.add_argument('input', metavar='INPUT', help='image, folder, pattern in quotes, URL, or video')
    add_model_arguments(parser)
    parser.add_argument('--out-dir', default='outputs', help='folder for pictures and results.json (%(default)s)')
    parser.add_argument('--no-pictures', action='store_true', help='write results.json alone')
    args = parser.parse_args(argv)
    check_model_arguments(parser, args)
    return args


def run(args: argparse.Namespace) -> int:
    """Do the work.

    Returns:
        int: Number of images without results.
    """
    # What can be wrong is found before the network is built.
    sources = list_sources(args.input)
    total = count_images(sources)
    if total == math.inf:
        raise ValueError(f'{args.input} never ends: demo/video_demo.py is for streams and cameras')
    out_dir = Path(args.out_dir)
    pictures = None if args.no_pictures else out_dir / 'pictures'
    inferencer = build_inferencer(args)
    results: list[dict[str, Any]] = []
    began = time.time()
    found = inferencer.stream(sources, args.batch_size, args.score_thr, pictures, args.tasks)
    for number, result in enumerate(found, start=1):
        results.append(result.to_dict())
        print(f'[{number}/{total or "?"}] {Path(result.image).name}: {result.summary()}', flush=True)
    report = {
        'config': args.model,
        'checkpoint': args.checkpoint,
        'score_thr': args.score_thr,
        'classes': list(inferencer.dataset_meta.get('classes', ())),
        'results': results,
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    draft = out_dir / '.results.json'
    draft.write_text(json.dumps(report, ensure_ascii=False) + '\n', encoding='utf-8')
    os.replace(draft, out_dir / 'results.json')
    failed = sum('error' in result for result in results)
    print(f'{len(results) - failed} of {len(results)} images in {time.time() - began:.1f} s')
    if pictures is not None:
        print(f'pictures: {pictures}')
    print(f'results:  {out_dir / "results.json"}')
    return failed


def main() -> None:
    """Entry point: ends with status 1 where something was wrong with the input or with an image."""
    args = parse_args()
    try:
        failed = run(args)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
