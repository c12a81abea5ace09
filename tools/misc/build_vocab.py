"""Build the vocabulary of the caption head from COCO caption files: words, or pieces of words.

Example::

    python tools/misc/build_vocab.py data/coco/annotations/captions_train2017.json --out vocab.txt --min-count 2
    python tools/misc/build_vocab.py captions.json --out bpe.json --kind bpe --vocab-size 4000
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmyolor_mtl.models.text import BPETokenizer, WordPieceTokenizer, WordTokenizer

KINDS: dict[str, Any] = dict(word=WordTokenizer, wordpiece=WordPieceTokenizer, bpe=BPETokenizer)


def read_captions(path: str | Path) -> list[str]:
    """Read every caption of a COCO caption file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is not JSON, or holds something else than captions.
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
    captions = [annotation['caption'] for annotation in annotations]
    wrong = [caption for caption in captions if not isinstance(caption, str)]
    if wrong:
        raise ValueError(f'{path}: a caption must be text, got {wrong[0]!r}')
    return captions


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description='Build the vocabulary of the caption head.')
    parser.add_argument('captions', nargs='+', metavar='CAPTIONS.json', help='COCO caption files')
    parser.add_argument('--out', required=True, help='vocabulary file to write: one token a line, JSON for bpe')
    parser.add_argument('--kind', choices=KINDS, default='word', help='kind of tokens (default: word)')
    parser.add_argument(
        '--vocab-size',
        type=int,
        help='most tokens, the special ones included (default: no limit for words, 8000 for the other kinds)',
    )
    parser.add_argument('--min-count', type=int, default=1, help='leave out what occurs less often (default: 1)')
    args = parser.parse_args(argv)

    captions = [caption for path in args.captions for caption in read_captions(path)]
    size = 8000 if args.vocab_size is None and args.kind != 'word' else args.vocab_size
    tokenizer = KINDS[args.kind].build(captions, vocab_size=size, min_count=args.min_count)
    tokenizer.save(args.out)

    ids = [i for caption in captions for i in tokenizer.encode(caption)[1:-1]]
    unknown = ids.count(tokenizer.unk_id) / len(ids)
    print(
        f'{args.out}: {len(tokenizer)} tokens from {len(captions)} captions, {unknown:.2%} of the words unknown, '
        f'{len(ids) / len(captions):.1f} tokens a caption'
    )


if __name__ == '__main__':
    main()
