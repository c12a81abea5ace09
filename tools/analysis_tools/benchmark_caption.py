"""Time beam search with cached keys and values against the same search without.

Example:
    python tools/analysis_tools/benchmark_caption.py --size 320 --batch 8 --beam-size 5
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmyolor_mtl.models.heads.caption_head import CaptionHead
from mmyolor_mtl.models.layers.caption_decoder import CachedDecoding, CaptionDecoder, ImageMemory
from mmyolor_mtl.models.text.generation import Generated, generate
from mmyolor_mtl.utils.benchmark import now


class UncachedDecoding:
    """The whole sentence so far, and the image, through the decoder at each step."""

    def __init__(self, decoder: CaptionDecoder, memory: ImageMemory) -> None:
        self.decoder, self.memory = decoder, memory
        self.tokens: Tensor | None = None

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each row, (R,); return the logits (R, V) of the next."""
        self.tokens = tokens[:, None] if self.tokens is None else torch.cat([self.tokens, tokens[:, None]], 1)
        return self.decoder.output(self.decoder.hidden(self.tokens, self.memory)[:, -1])

    def reorder(self, rows: Tensor) -> None:
        """Continue with these rows (R',) of the present ones."""
        if self.tokens is not None:
            self.tokens = self.tokens[rows]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=640, help='input size in px, a multiple of 32 (default: 640)')
    parser.add_argument('--batch', type=int, default=8, help='images (default: 8)')
    parser.add_argument('--beam-size', type=int, default=5, help='beams an image, 1 is greedy (default: 5)')
    parser.add_argument('--max-length', type=int, default=20, help='tokens to write (default: 20)')
    parser.add_argument('--vocab-size', type=int, default=30522, help='vocabulary (default: 30522)')
    parser.add_argument('--num-layers', type=int, default=6, help='decoder layers (default: 6)')
    parser.add_argument('--repeats', type=int, default=2, help='runs of each search, the fastest counts (default: 2)')
    parser.add_argument('--device', default='cpu', help='torch device (default: cpu)')
    return parser.parse_args(argv)


@torch.no_grad()
def run(args: argparse.Namespace) -> dict[str, Any]:
    """Search with random weights on random features. Both searches share the image among its beams.

    The end token is suppressed, so that every run writes ``max_length`` tokens.

    Returns:
        dict: The setting, seconds of both searches, their ratio, and whether they found the same words.
    """
    if args.size % 32:
        raise ValueError(f'--size {args.size} must be a multiple of 32')
    torch.manual_seed(0)
    head = CaptionHead(vocab_size=args.vocab_size, num_layers=args.num_layers).to(args.device).eval()
    feats = [
        torch.randn(args.batch, projection.in_channels, args.size // stride, args.size // stride, device=args.device)
        for projection, stride in zip(head.projections, head.strides, strict=True)
    ]
    memory, ids = head.memory(feats), head.special_ids
    start = torch.full((args.batch,), ids['bos_id'], device=args.device)

    def search(decoding: Callable) -> Generated:
        return generate(
            decoding(head.decoder, memory),
            start,
            eos_id=ids['eos_id'],
            pad_id=ids['pad_id'],
            beam_size=args.beam_size,
            max_length=args.max_length,
            suppress=tuple(ids.values()),
        )

    kinds = dict(cached=CachedDecoding, uncached=UncachedDecoding)
    found, seconds = {}, dict.fromkeys(kinds, float('inf'))
    # In turns, so that what else the machine does hits both alike.
    search(CachedDecoding)
    for _ in range(args.repeats):
        for name, decoding in kinds.items():
            begin = now(args.device)
            found[name] = search(decoding)
            seconds[name] = min(seconds[name], now(args.device) - begin)
    return dict(
        size=args.size,
        batch=args.batch,
        beam_size=args.beam_size,
        max_length=args.max_length,
        places=memory.content.shape[1],
        threads=torch.get_num_threads(),
        device=args.device,
        seconds_cached=seconds['cached'],
        seconds_uncached=seconds['uncached'],
        ratio=seconds['uncached'] / seconds['cached'],
        same_words=torch.equal(found['cached'].tokens, found['uncached'].tokens),
    )


def main() -> None:
    """Print the figures as JSON."""
    print(json.dumps(run(parse_args()), indent=2))


if __name__ == '__main__':
    main()
