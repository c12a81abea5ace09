"""Time the caption scores on made-up captions, against pycocoevalcap's where that is installed.

Example:
    python tools/analysis_tools/benchmark_caption_metrics.py --images 5000 --references 5
"""

import argparse
import contextlib
import io
import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmyolor_mtl.evaluation.functional import CiderScorer, score_captions, tokenize_captions
from mmyolor_mtl.utils.benchmark import best_time

_METRICS = ('BLEU', 'ROUGE_L', 'CIDEr')
_GRAMMAR = """
person: man woman boy girl child person couple group team crowd player skier surfer chef student tourist
adjective: young old small large red blue white black brown green yellow tall wooden empty busy bright dirty wet snowy
thing: dog cat horse bus train truck bicycle motorcycle boat kite frisbee skateboard surfboard umbrella pizza sandwich
thing: cake banana laptop phone clock vase bench chair couch bed table sink toilet oven refrigerator giraffe zebra bat
thing: elephant bear sheep cow bird plane car sign hydrant bottle cup bowl book suitcase tie racket glove t-shirt
act: riding holding watching carrying pushing pulling eating throwing catching painting cleaning selling fixing feeding
place: street beach field kitchen park station room table road mountain river bridge market stadium airport garden lake
link: near on behind beside under across in
article: a a a the one some
"""
_ENDINGS = ['.', '.', '.', '.', '.', '', '', ' .', ', at night.', " by the man's house.", ' (1990s photo).', '!']


def make_captions(images: int, references: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """Write a caption and some references for each image, with a small grammar and a tail of rare words.

    Args:
        images (int): Number of images.
        references (int): References an image.
        seed (int): Seed.

    Returns:
        tuple: One caption an image, and its references: about 11 words each, and one in six needs all rules of the
            tokenizer.
    """
    rng = random.Random(seed)
    words = _words()

    def noun(thing: str) -> str:
        adjective = f'{rng.choice(words["adjective"])} ' if rng.random() < 0.6 else ''
        return f'{rng.choice(words["article"])} {adjective}{thing}'

    def rare() -> str:
        # Frequencies fall as in text: one of thousands of words, low numbers more often.
        number = int(rng.paretovariate(0.2) % 20_000)
        return ''.join('bdfgklmnprst'[number // 12**i % 12] + 'aeiou'[number // 5**i % 5] for i in range(4))

    def caption(person: str, act: str, thing: str, place: str) -> str:
        # A writer sees the scene in own words.
        person = person if rng.random() < 0.6 else rng.choice(words['person'])
        act = act if rng.random() < 0.6 else rng.choice(words['act'])
        thing = thing if rng.random() < 0.8 else rng.choice(words['thing'])
        name = f' {rare()}' if rng.random() < 0.3 else ''
        text = (
            f'{noun(person)} {act} {noun(thing)} {rng.choice(words["link"])} {noun(place)}{name}{rng.choice(_ENDINGS)}'
        )
        return text[0].upper() + text[1:]

    scenes = [[rng.choice(words[part]) for part in ('person', 'act', 'thing', 'place')] for _ in range(images)]
    return [caption(*scene) for scene in scenes], [[caption(*scene) for _ in range(references)] for scene in scenes]


def _words() -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for line in _GRAMMAR.strip().splitlines():
        kind, _, listed = line.partition(':')
        words.setdefault(kind, []).extend(listed.split())
    return words


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=5000, help='images (default: 5000)')
    parser.add_argument('--references', type=int, default=5, help='references an image (default: 5)')
    parser.add_argument('--rewards', type=int, default=320, help='captions a self-critical batch (default: 320)')
    parser.add_argument('--repeats', type=int, default=3, help='timed runs, the fastest counts (default: 3)')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time tokenising, scoring and rewards.

    Returns:
        dict: Seconds, and, where ``pycocoevalcap`` is installed, its seconds on the same tokens (without its tokenizer,
        which is Java), how many times faster this is, and the largest difference of a figure or of an image's score.
    """
    captions, references = make_captions(args.images, args.references)
    tokens = tokenize_captions(captions, references)
    words = [word for sentences in ([tokens[0]], tokens[1]) for refs in sentences for ref in refs for word in ref]
    seconds_tokenize = best_time(lambda: tokenize_captions(captions, references), args.repeats)
    seconds_score = best_time(lambda: score_captions(*tokens, _METRICS), args.repeats)
    scorer, images = CiderScorer(tokens[1]), np.arange(args.rewards) * 64 // args.rewards % args.images
    rewarded = [tokens[0][i] for i in images]
    seconds_reward = best_time(lambda: scorer(rewarded, tokens[1][:64], images), args.repeats)
    return dict(
        images=args.images,
        mean_length=len(words) / (args.images * (args.references + 1)),
        vocabulary=len(set(words)),
        seconds_tokenize=seconds_tokenize,
        seconds_score=seconds_score,
        seconds_both=seconds_tokenize + seconds_score,
        rewards_per_second=args.rewards / seconds_reward,
        **_compare(tokens, seconds_score, args.repeats),
    )


def _compare(tokens: tuple[list, list], seconds_score: float, repeats: int) -> dict[str, Any]:
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except ImportError:
        return {'pycocoevalcap': 'not installed: pip install pycocoevalcap compares with it'}
    res = {i: [' '.join(caption)] for i, caption in enumerate(tokens[0])}
    gts = {i: [' '.join(ref) for ref in refs] for i, refs in enumerate(tokens[1])}

    def official() -> list:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its counts
            return [scorer.compute_score(gts, res) for scorer in (Bleu(4), Rouge(), Cider())]

    (bleus, bleu_images), *others = official()
    scores = score_captions(*tokens, _METRICS)
    figures = [*bleus, *(score for score, _ in others)]
    per_image = [*bleu_images, *(images for _, images in others)]
    seconds = best_time(official, repeats)
    return dict(
        seconds_pycocoevalcap=seconds,
        ratio=seconds / seconds_score,
        largest_difference=float(np.abs(np.array(figures) - list(scores.figures.values())).max()),
        largest_difference_of_an_image=float(np.abs(np.array(per_image) - list(scores.per_image.values())).max()),
    )


def main() -> None:
    """Print the figures as JSON."""
    print(json.dumps(run(parse_args()), indent=2))


if __name__ == '__main__':
    main()
