"""Pictures and JSON of everything a trained network sees in images.

Example:
    python demo/image_demo.py photos/ configs/yolor_mtl/CONFIG.py CHECKPOINT.pth --out-dir outputs
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from mmengine.config import DictAction


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Detect, mask, label pixels and describe: pictures and one JSON file.')
    parser.add_argument('image', metavar='IMAGE|DIR', help='an image, or a folder of images')
    parser.add_argument('config', help='config of the network')
    parser.add_argument('checkpoint', help='its trained weights')
    parser.add_argument('--out-dir', default='outputs', help='folder for pictures and results.json (%(default)s)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda:0, ... (%(default)s)')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score of objects (%(default)s)')
    parser.add_argument('--batch-size', type=int, default=1, help='images a forward pass (%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='changes to the config, key=value')
    args = parser.parse_args(argv)
    if args.batch_size < 1:
        parser.error(f'--batch-size {args.batch_size} must be at least 1')
    if not 0 <= args.score_thr <= 1:
        parser.error(f'--score-thr {args.score_thr} must be in [0, 1]')
    return args


def run(args: argparse.Namespace) -> int:
    """Do the work.

    Returns:
        int: Number of images without results.
    """
    from mmyolor_mtl.apis.inferencer import MTLInferencer, list_inputs

    # What can be wrong is found before the network is built.
    for path in (args.config, args.checkpoint):
        if '://' not in str(path) and not Path(path).is_file():
            raise FileNotFoundError(f'{path} does not exist')
    files = list_inputs(args.image)
    out_dir = Path(args.out_dir)
    inferencer = MTLInferencer(args.config, args.checkpoint, args.device, cfg_options=args.cfg_options)
    results: list[dict[str, Any]] = []
    began = time.time()
    for number, result in enumerate(
        inferencer.stream(files, args.batch_size, args.score_thr, out_dir / 'pictures'), start=1
    ):
        results.append(result.to_dict())
        print(f'[{number}/{len(files)}] {Path(result.image).name}: {result.summary()}', flush=True)
    report = {
        'config': str(args.config),
        'checkpoint': str(args.checkpoint),
        'score_thr': args.score_thr,
        'classes': list(inferencer.dataset_meta.get('classes', ())),
        'results': results,
    }
    out_dir.mkdir(parents=True, exist_ok=True)
    draft = out_dir / '.results.json'
    draft.write_text(json.dumps(report, ensure_ascii=False) + '\n', encoding='utf-8')
    os.replace(draft, out_dir / 'results.json')
    failed = sum('error' in result for result in results)
    print(f'{len(files) - failed} of {len(files)} images in {time.time() - began:.1f} s')
    print(f'pictures: {out_dir / "pictures"}\nresults:  {out_dir / "results.json"}')
    return failed


def main() -> None:
    """Entry point: ends with status 1 where something was wrong with the input or with an image."""
    try:
        failed = run(parse_args())
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'error: {error}')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
