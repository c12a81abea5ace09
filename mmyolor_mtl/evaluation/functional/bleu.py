"""BLEU (Papineni et al., ACL 2002) in the arithmetic of the COCO caption evaluation (spec 6.4)."""

from collections.abc import Sequence

import numpy as np

from .ngrams import NGramCounts, NGramTable, Tokens, check_captions, flatten, match, pair_key

# The official toolkit's guards against division by zero; they decide the scores of very short captions.
_SMALL = 1e-9
_TINY = 1e-15


def bleu(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], n: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """BLEU-1..n of the whole set and of each image: clipped n-gram precisions with the closest reference length.

    The score of the set pools the counts of all images; it is not the mean of the images' scores.

    Args:
        candidates (Sequence[Sequence[str]]): One tokenised caption an image.
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image, in the same order.
        n (int): Longest n-gram.

    Returns:
        tuple[np.ndarray, np.ndarray]: BLEU-1, ..., BLEU-n of the set, (n,), and of the images, (images, n), in [0, 1].

    Raises:
        ValueError: No images, unequal counts, or an image without references.

    Examples:
        >>> total, images = bleu([['a', 'red', 'dog']], [[['a', 'dog'], ['the', 'red', 'dog']]], n=2)
        >>> total.round(3).tolist()
        [1.0, 0.707]
    """
    check_captions(candidates, references)
    flat, image = flatten(references)
    counts = NGramTable(n).count([*candidates, *flat])
    correct = np.stack([_correct(*entries.split(len(candidates)), image, len(candidates)) for entries in counts], 1)

    length = np.array([len(candidate) for candidate in candidates])
    total = np.maximum(length[:, None] - np.arange(n), 0)
    reference_length = np.array(
        [
            min((abs(len(ref) - len(candidate)), len(ref)) for ref in refs)[1]
            for candidate, refs in zip(candidates, references, strict=True)
        ]
    )
    statistics = (correct, total, length, reference_length)
    return _score(*(values.sum(0, keepdims=True) for values in statistics))[0], _score(*statistics)


def corpus_bleu(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], n: int = 4) -> np.ndarray:
    """BLEU-1..n of the whole set, (n,); see :func:`bleu`."""
    return bleu(candidates, references, n)[0]


def _correct(candidates: NGramCounts, references: NGramCounts, image: np.ndarray, num_images: int) -> np.ndarray:
    """For each image, how many n-grams of its candidate a reference confirms: at most as often as any one has them."""
    keys = pair_key(image[references.sentence], references.ngram)
    order = np.argsort(keys, kind='stable')
    keys, first = np.unique(keys[order], return_index=True)
    most = np.maximum.reduceat(references.count[order], first) if len(keys) else keys
    own, found = match(pair_key(candidates.sentence, candidates.ngram), keys)
    hits = np.minimum(candidates.count[own], most[found])
    return np.bincount(candidates.sentence[own], hits, minlength=num_images)


def _score(correct: np.ndarray, total: np.ndarray, length: np.ndarray, reference_length: np.ndarray) -> np.ndarray:
    precisions = np.cumprod((correct + _TINY) / (total + _SMALL), axis=1)
    scores = precisions ** (1 / np.arange(1, correct.shape[1] + 1))
    ratio = (length + _TINY) / (reference_length + _SMALL)
    return scores * np.exp(np.minimum(1 - 1 / ratio, 0))[:, None]
