"""What the caption scores share: n-gram counts and the check of their arguments."""

from collections import Counter
from collections.abc import Sequence

Tokens = Sequence[str]
NGrams = Counter[tuple[str, ...]]


def count_ngrams(tokens: Tokens, n: int = 4) -> NGrams:
    """Count all n-grams of length 1..n.

    Args:
        tokens (Sequence[str]): One sentence.
        n (int): Longest n-gram.

    Returns:
        Counter: How often each n-gram (a tuple of words) occurs.
    """
    return Counter(
        tuple(tokens[start : start + length]) for length in range(1, n + 1) for start in range(len(tokens) - length + 1)
    )


def check_captions(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> None:
    """Check that there is one candidate an image and at least one reference.

    Raises:
        ValueError: No images, unequal counts, or an image without references.
    """
    if not candidates:
        raise ValueError('no captions to score')
    if len(candidates) != len(references):
        raise ValueError(f'{len(candidates)} candidates for {len(references)} images with references')
    empty = next((i for i, refs in enumerate(references) if not refs), None)
    if empty is not None:
        raise ValueError(f'image {empty} has no reference caption')
