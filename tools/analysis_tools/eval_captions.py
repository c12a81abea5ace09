"""Score a COCO result file of captions, from any system, against a COCO caption file.

Examples:
    python tools/analysis_tools/eval_captions.py results.json data/coco/annotations/captions_val2017.json
    python tools/analysis_tools/eval_captions.py results.json captions.json --metrics BLEU CIDEr METEOR \
        --per-image images.csv --out scores.json
"""

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmyolor_mtl.datasets.converters.files import write_json, write_text
from mmyolor_mtl.evaluation.caption_files import name_images, read_references, read_results
from mmyolor_mtl.evaluation.functional import (
    CAPTION_METRICS,
    DEFAULT_METRICS,
    CaptionScores,
    JavaUnavailableError,
    check_metrics,
    score_captions,
    tokenize_captions,
)
from mmyolor_mtl.evaluation.functional.captions import TOKENIZERS


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Score captions as the official COCO caption evaluation does.')
    parser.add_argument('results', metavar='RESULTS.json', help='list of {"image_id": ..., "caption": ...}')
    parser.add_argument('annotations', metavar='ANNOTATIONS.json', help='COCO caption file with the references')
    parser.add_argument(
        '--metrics',
        nargs='+',
        default=DEFAULT_METRICS,
        metavar='NAME',
        help=f'of {", ".join(CAPTION_METRICS)} (default: {" ".join(DEFAULT_METRICS)})',
    )
    parser.add_argument(
        '--tokenizer', choices=list(TOKENIZERS), default='ptb', help="java: Stanford's own, needs pycocoevalcap"
    )
    parser.add_argument('--allow-missing', action='store_true', help='score the images that have a caption')
    parser.add_argument('--per-image', metavar='FILE.csv', help='write the scores of each image')
    parser.add_argument('--out', metavar='FILE.json', help='write the figures')
    return parser.parse_args(argv)


def pair(
    results: dict[Any, str], references: dict[Any, list[str]], allow_missing: bool = False
) -> dict[Any, tuple[str, list[str]]]:
    """Bring captions and references together.

    Images without references are left out: an annotation file may have captions of some of its images.

    Args:
        results (dict): The caption of each image id.
        references (dict): The references of each image id.
        allow_missing (bool): Leave out images with references but without a caption.

    Returns:
        dict: Caption and references of each image that has both, in the order of the references.

    Raises:
        ValueError: Captions of images that the references do not know, or images without a caption, or none is left.
    """
    unknown = [image_id for image_id in results if image_id not in references]
    if unknown:
        raise ValueError(
            f'{name_images(unknown)} of the results are not in the annotations: another split, or ids of another type?'
        )
    missing = [image_id for image_id, refs in references.items() if refs and image_id not in results]
    if missing and not allow_missing:
        raise ValueError(
            f'{name_images(missing)} with references have no caption in the results; --allow-missing scores the others'
        )
    pairs = {i: (results[i], refs) for i, refs in references.items() if refs and i in results}
    if not pairs:
        raise ValueError('no image has both a caption and a reference')
    return pairs


def evaluate(args: argparse.Namespace) -> tuple[dict[Any, tuple[str, list[str]]], CaptionScores]:
    """Read, tokenise and score.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is not what it should be, or the two do not go together.
        JavaUnavailableError: ``--tokenizer java`` without Java or pycocoevalcap.
    """
    metrics = check_metrics(args.metrics)
    pairs = pair(read_results(args.results), read_references(args.annotations), args.allow_missing)
    captions, references = zip(*pairs.values(), strict=True)
    return pairs, score_captions(*tokenize_captions(captions, references, args.tokenizer), metrics)


def table(scores: CaptionScores, num_images: int) -> str:
    """The figures, one a line."""
    width = max(map(len, ['images', *scores.figures]))
    lines = [f'{"images":{width}}  {num_images:>9,}']
    for name, figure in scores.figures.items():
        lines.append(f'{name:{width}}  {figure:>9,.0f}' if name == 'vocabulary' else f'{name:{width}}  {figure:>9.4f}')
    return '\n'.join(lines)


def per_image_csv(pairs: dict[Any, tuple[str, list[str]]], scores: CaptionScores) -> str:
    """A table with one image a line: id, caption and its scores."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(['image_id', 'caption', *scores.per_image])
    columns = [values.tolist() for values in scores.per_image.values()]
    for i, (image_id, (caption, _)) in enumerate(pairs.items()):
        writer.writerow([image_id, caption, *(column[i] for column in columns)])
    return text.getvalue()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; 0 when the captions are scored, 2 on bad input."""
    args = parse_args(argv)
    try:
        for path in filter(None, (args.per_image, args.out)):
            if not Path(path).parent.is_dir():
                raise ValueError(f'there is no folder {Path(path).parent} for {path}')
        pairs, scores = evaluate(args)
        if args.per_image:
            write_text(args.per_image, per_image_csv(pairs, scores))
        if args.out:
            write_json(args.out, {'images': len(pairs), **scores.figures})
    except (ValueError, OSError, JavaUnavailableError) as error:
        print(f'eval_captions: {error}', file=sys.stderr)
        return 2
    for line in scores.absent:
        print(line, file=sys.stderr)
    print(table(scores, len(pairs)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
