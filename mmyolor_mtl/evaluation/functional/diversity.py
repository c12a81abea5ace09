"""How varied captions are: distinct n-grams, vocabulary and length."""

from collections.abc import Sequence

import numpy as np

from .ngrams import NGramTable, Tokens


def distinct(captions: Sequence[Tokens], n: int = 2) -> np.ndarray:
    """Distinct-1..n (Li et al., NAACL 2016): different n-grams of all captions over the number of n-grams.

    The more captions, the lower: compare sets of one size.

    Args:
        captions (Sequence[Sequence[str]]): Tokenised captions.
        n (int): Longest n-gram.

    Returns:
        np.ndarray: (n,), in [0, 1]; 0 where no caption is long enough.

    Examples:
        >>> distinct([['a', 'dog'], ['a', 'cat']]).tolist()
        [0.75, 1.0]
    """
    ids = [ids for ids, _ in NGramTable(n).ids(captions)]
    return np.array([len(np.unique(i)) / max(len(i), 1) for i in ids])


def diversity(captions: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> dict[str, float]:
    """Figures that say whether captions are varied, or one sentence for all images.

    Args:
        captions (Sequence[Sequence[str]]): Tokenised captions, at least one.
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image.

    Returns:
        dict[str, float]: ``distinct_1``, ``distinct_2`` (0..1), ``vocabulary`` (different words used),
        ``vocabulary_share`` (share of the references' different words that are used, 0..1), ``mean_length`` (words).

    Raises:
        ValueError: No captions.
    """
    if not len(captions):
        raise ValueError('no captions to describe')
    used = {word for caption in captions for word in caption}
    known = {word for refs in references for ref in refs for word in ref}
    first, second = distinct(captions).tolist()
    return {
        'distinct_1': first,
        'distinct_2': second,
        'vocabulary': float(len(used)),
        'vocabulary_share': len(used & known) / max(len(known), 1),
        'mean_length': sum(map(len, captions)) / len(captions),
    }
