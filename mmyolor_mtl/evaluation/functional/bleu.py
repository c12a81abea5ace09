"""Corpus BLEU (Papineni et al., ACL 2002) in the arithmetic of the COCO caption evaluation."""

import math
from collections.abc import Sequence

import numpy as np

from .ngrams import NGrams, Tokens, check_captions, count_ngrams

# The official toolkit's guards against division by zero; they decide the scores of very short captions.
_SMALL = 1e-9
_TINY = 1e-15


def corpus_bleu(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], n: int = 4) -> np.ndarray:
    """Corpus BLEU-1..n: clipped n-gram precisions, pooled over all images, with the closest reference length.

    Args:
        candidates (Sequence[Sequence[str]]): One tokenised caption an image.
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image, in the same order.
        n (int): Longest n-gram.

    Returns:
        np.ndarray: BLEU-1, ..., BLEU-n, each in [0, 1].

    Raises:
        ValueError: No images, unequal counts, or an image without references.

    Examples:
        >>> corpus_bleu([['a', 'red', 'dog']], [[['a', 'dog'], ['the', 'red', 'dog']]], n=2).round(3).tolist()
        [1.0, 0.707]
    """
    check_captions(candidates, references)
    correct, total = np.zeros(n), np.zeros(n)
    length = reference_length = 0
    for candidate, refs in zip(candidates, references, strict=True):
        counts = count_ngrams(candidate, n)
        for ngram, hits in _clip(counts, [count_ngrams(ref, n) for ref in refs]).items():
            correct[len(ngram) - 1] += hits
        total += np.maximum(len(candidate) - np.arange(n), 0)
        length += len(candidate)
        reference_length += min((abs(len(ref) - len(candidate)), len(ref)) for ref in refs)[1]

    precisions = np.cumprod((correct + _TINY) / (total + _SMALL))
    scores = precisions ** (1 / np.arange(1, n + 1))
    ratio = (length + _TINY) / (reference_length + _SMALL)
    return scores * math.exp(1 - 1 / ratio) if ratio < 1 else scores


def _clip(counts: NGrams, references: Sequence[NGrams]) -> dict[tuple[str, ...], int]:
    return {ngram: min(count, max(ref[ngram] for ref in references)) for ngram, count in counts.items()}
