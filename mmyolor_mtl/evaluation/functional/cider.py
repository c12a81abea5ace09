"""CIDEr (Vedantam et al., CVPR 2015) in the arithmetic of the COCO caption evaluation.

What the official toolkit calls CIDEr is CIDEr-D but for the stemming: clipped counts and a Gaussian penalty on length.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from .ngrams import NGrams, Tokens, check_captions, count_ngrams

Vectors = list[dict[tuple[str, ...], float]]


def document_frequency(references: Sequence[Sequence[Tokens]], n: int = 4) -> Counter[tuple[str, ...]]:
    """Count in how many images' references each n-gram occurs.

    Args:
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image.
        n (int): Longest n-gram.
    """
    frequency: Counter[tuple[str, ...]] = Counter()
    for refs in references:
        frequency.update({ngram for ref in refs for ngram in count_ngrams(ref, n)})
    return frequency


def cider(
    candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]], n: int = 4, sigma: float = 6.0
) -> np.ndarray:
    """CIDEr of each image: mean cosine of tf-idf n-gram vectors, times 10.

    Document frequencies come from the references given, so a score depends on the set of images; with one image alone
    every weight is zero.

    Args:
        candidates (Sequence[Sequence[str]]): One tokenised caption an image.
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image, in the same order.
        n (int): Longest n-gram.
        sigma (float): Width of the length penalty, in words.

    Returns:
        np.ndarray: (images,), in [0, 10]; the score of a data set is its mean, about 1 for good captions of COCO.

    Raises:
        ValueError: No images, unequal counts, or an image without references.
    """
    check_captions(candidates, references)
    frequency = document_frequency(references, n)
    log_images = math.log(len(references))
    scores = np.zeros(len(candidates))
    for i, (candidate, refs) in enumerate(zip(candidates, references, strict=True)):
        hypothesis = _tf_idf(count_ngrams(candidate, n), frequency, log_images, n)
        for ref in refs:
            target = _tf_idf(count_ngrams(ref, n), frequency, log_images, n)
            # The toolkit measures length in bigrams: as a difference it equals that in words unless one is empty.
            delta = max(len(candidate) - 1, 0) - max(len(ref) - 1, 0)
            scores[i] += _similarity(hypothesis, target) * math.exp(-(delta**2) / (2 * sigma**2))
        scores[i] *= 10 / (n * len(refs))
    return scores


def _tf_idf(counts: NGrams, frequency: Mapping[tuple[str, ...], int], log_images: float, n: int) -> Vectors:
    vectors: Vectors = [{} for _ in range(n)]
    for ngram, count in counts.items():
        # An n-gram of no reference weighs as one that a single image has.
        vectors[len(ngram) - 1][ngram] = count * (log_images - math.log(frequency.get(ngram, 1)))
    return vectors


def _similarity(hypothesis: Vectors, target: Vectors) -> float:
    total = 0.0
    for hyp, ref in zip(hypothesis, target, strict=True):
        norm = _norm(hyp) * _norm(ref)
        if norm:
            total += sum(min(weight, ref[ngram]) * ref[ngram] for ngram, weight in hyp.items() if ngram in ref) / norm
    return total


def _norm(vector: Mapping[tuple[str, ...], float]) -> float:
    return math.sqrt(sum(weight**2 for weight in vector.values()))
