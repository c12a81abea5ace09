"""ROUGE-L (Lin, 2004) in the arithmetic of the COCO caption evaluation."""

from collections.abc import Sequence

import numpy as np

from .ngrams import Tokens, check_captions


def lcs_length(first: Tokens, second: Tokens) -> int:
    """Length of the longest common subsequence.

    Args:
        first (Sequence[str]): One sentence.
        second (Sequence[str]): Another.
    """
    return _lcs_lengths(first, [second])[0]


def _lcs_lengths(first: Tokens, others: Sequence[Tokens]) -> list[int]:
    """Longest common subsequences of one sentence and each of others, by bits of one integer (Hyyrö, 2004)."""
    places: dict[str, int] = {}
    for i, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << i
    full = (1 << len(first)) - 1
    lengths = []
    for other in others:
        row = full  # a zero at place i: the common subsequence grows there
        for word in other:
            if word in places:
                hits = row & places[word]
                row = ((row + hits) | (row - hits)) & full
        lengths.append(len(first) - row.bit_count())
    return lengths


def rouge_l(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], beta: float = 1.2) -> np.ndarray:
    """ROUGE-L of each image: best precision and best recall over its references, joined by an F-measure.

    Args:
        candidates (Sequence[Sequence[str]]): One tokenised caption an image.
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image, in the same order.
        beta (float): Weight of recall.

    Returns:
        np.ndarray: (images,), in [0, 1]; the score of a data set is its mean.

    Raises:
        ValueError: No images, unequal counts, or an image without references.
    """
    check_captions(candidates, references)
    return np.array([_score(c, refs, beta) for c, refs in zip(candidates, references, strict=True)])


def _score(candidate: Tokens, references: Sequence[Tokens], beta: float) -> float:
    # The official toolkit sees one empty word in an empty caption, so two empty captions agree.
    candidate = candidate or ['']
    lengths = _lcs_lengths(candidate, [ref or [''] for ref in references])
    precision = max(lengths) / len(candidate)
    recall = max(length / max(len(ref), 1) for length, ref in zip(lengths, references, strict=True))
    if precision == 0 or recall == 0:
        return 0.0
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)
