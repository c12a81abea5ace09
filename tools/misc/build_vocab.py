"""Build the word vocabulary of the caption head from COCO caption files.

Example::

    python tools/misc/build_vocab.py data/coco/annotations/captions_train2017.json --out vocab.txt --min-count 2
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mmyolor_mtl.models.text import WordTokenizer


def read_captions(path: str | Path) -> list[str]:
    """Read every caption of a COCO caption file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not JSON, or holds no captions.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'caption file {path} does not exist')
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not valid JSON: {error}') from error
    annotations = content.get('annotations') if isinstance(content, dict) else None
    if not isinstance(annotations, list) or not all(isinstance(a, dict) and 'caption' in a for a in annotations):
        raise ValueError(f'{path} is no COCO caption file: it needs "annotations", each with a "caption"')
    return [annotation['caption'] for annotation in annotations]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description='Build the word vocabulary of the caption head.')
    parser.add_argument('captions', nargs='+', metavar='CAPTIONS.json', help='COCO caption files')
    parser.add_argument('--out', required=True, help='vocabulary file to write, one token a line')
    parser.add_argument('--min-count', type=int, default=1, help='leave out words that occur less often')
    args = parser.parse_args(argv)

    captions = [caption for path in args.captions for caption in read_captions(path)]
    tokenizer = WordTokenizer.build(captions, min_count=args.min_count)
    tokenizer.save(args.out)

    ids = [i for caption in captions for i in tokenizer.encode(caption)[1:-1]]
    unknown = ids.count(tokenizer.unk_id) / len(ids)
    print(f'{args.out}: {len(tokenizer)} tokens from {len(captions)} captions, {unknown:.2%} of the words unknown')


if __name__ == '__main__':
    main()
