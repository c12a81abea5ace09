"""CIDEr and CIDEr-D (Vedantam et al., CVPR 2015) in the arithmetic of the COCO caption evaluation (spec 6.4)."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from .ngrams import (
    NGram,
    NGramCounts,
    NGramTable,
    Tokens,
    check_captions,
    check_references,
    count_ngrams,
    flatten,
    match,
    pair_key,
)

Variant = Literal['CIDEr', 'CIDEr-D']


def document_frequency(references: Sequence[Sequence[Tokens]], n: int = 4) -> Counter[NGram]:
    """Count in how many images' references each n-gram occurs.

    Args:
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image.
        n (int): Longest n-gram.
    """
    frequency: Counter[NGram] = Counter()
    for refs in references:
        frequency.update({ngram for ref in refs for ngram in count_ngrams(ref, n)})
    return frequency


class CiderScorer:
    """CIDEr of any number of captions with document frequencies that are prepared once.

    An n-gram weighs its count times log(images / images whose references have it); one that no reference has weighs as
    one that a single image has. The score is the mean cosine of the weighted n-gram vectors of caption and references,
    over 1..n words, times 10. CIDEr-D also clips the caption's weights at those of the reference and multiplies by a
    Gaussian of the difference in length, so that repeating words or writing much does not pay.

    What the official toolkit prints as *CIDEr* is CIDEr-D. Neither variant here stems words, nor does the toolkit.

    Args:
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image of the set that says how
            rare an n-gram is: the training set for rewards, the evaluated set for evaluation.
        n (int): Longest n-gram.
        sigma (float): Width of CIDEr-D's length penalty, in words.
        variant (str): 'CIDEr-D' or 'CIDEr'.

    Raises:
        ValueError: No images, an image without references, ``sigma`` is not positive, or an unknown variant.

    Examples:
        >>> scorer = CiderScorer([[['a', 'dog']], [['a', 'red', 'cat']]], n=2)
        >>> scorer([['a', 'dog'], ['a', 'cat']], [[['a', 'dog']]], images=[0, 0]).tolist()
        [10.0, 0.0]
    """

    def __init__(
        self,
        references: Sequence[Sequence[Tokens]],
        n: int = 4,
        sigma: float = 6.0,
        variant: Variant = 'CIDEr-D',
    ) -> None:
        if not len(references):
            raise ValueError('no reference captions to take document frequencies from')
        check_references(references)
        flat, image = flatten(references)
        table = NGramTable(n, flat)
        frequencies = []
        for size, (ids, sentence) in zip(table.sizes, table.ids(flat), strict=True):
            documents = np.unique(pair_key(image[sentence], ids))
            frequencies.append(np.bincount(documents & 0xFFFFFFFF, minlength=size))
        self._prepare(table, frequencies, len(references), sigma, variant)

    @classmethod
    def from_frequencies(
        cls,
        frequencies: Mapping[NGram, float],
        num_images: int,
        n: int = 4,
        sigma: float = 6.0,
        variant: Variant = 'CIDEr-D',
    ) -> 'CiderScorer':
        """Take document frequencies that were counted elsewhere.

        Args:
            frequencies (Mapping[tuple[str, ...], float]): In how many images each n-gram occurs, as
                :func:`document_frequency` counts them; n-grams of more than ``n`` words are left out.
            num_images (int): Number of images they were counted on.
            n (int): Longest n-gram.
            sigma (float): Width of CIDEr-D's length penalty, in words.
            variant (str): 'CIDEr-D' or 'CIDEr'.

        Raises:
            ValueError: An n-gram is said to occur in more images than there are, or as in the constructor.
        """
        given = {ngram: count for ngram, count in frequencies.items() if 0 < len(ngram) <= n}
        most = max(given, key=given.__getitem__, default=())
        if num_images < 1 or (most and given[most] > num_images):
            raise ValueError(f'{" ".join(most)!r} occurs in {given.get(most, 0)} images of {num_images}')
        table = NGramTable(n, list(given))
        counts = [np.zeros(size) for size in table.sizes]
        for order, (ids, sentence) in enumerate(table.ids(list(given))):
            whole = np.array([len(ngram) == order + 1 for ngram in given], bool)[sentence]
            counts[order][ids[whole]] = np.array(list(given.values()), float)[sentence[whole]]
        scorer = cls.__new__(cls)
        scorer._prepare(table, counts, num_images, sigma, variant)
        return scorer

    def _prepare(
        self, table: NGramTable, frequencies: list[np.ndarray], num_images: int, sigma: float, variant: Variant
    ) -> None:
        if sigma <= 0:
            raise ValueError(f'sigma={sigma} must be positive')
        if variant not in get_args(Variant):
            raise ValueError(f'variant={variant!r} must be one of {get_args(Variant)}')
        self.num_images, self.sigma, self.variant = num_images, sigma, variant
        self._table = table
        self._rarity = [math.log(num_images) - np.log(np.maximum(counts, 1)) for counts in frequencies]

    def __call__(
        self,
        candidates: Sequence[Tokens],
        references: Sequence[Sequence[Tokens]],
        images: Sequence[int] | np.ndarray | None = None,
    ) -> np.ndarray:
        """Score captions.

        Args:
            candidates (Sequence[Sequence[str]]): Tokenised captions, any number an image.
            references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image.
            images (Sequence[int], optional): For each candidate, the index of its image in ``references``. Without it
                there is one candidate an image, in the same order.

        Returns:
            np.ndarray: (candidates,), in [0, 10].

        Raises:
            ValueError: An image without references, or candidates that do not go with the images.
        """
        image = self._images(candidates, references, images)
        flat, owner = flatten(references)
        num = len(candidates)
        sentences = [*candidates, *flat]
        # The toolkit measures length in bigrams: as a difference it equals that in words unless one is empty.
        lengths = np.maximum(np.array([len(tokens) for tokens in sentences]) - 1, 0)
        scores = np.zeros(num)
        for counts, rarity in zip(self._table.count(sentences), self._rarity, strict=True):
            weight, norm = self._weigh(counts, rarity, len(sentences))
            cut = np.searchsorted(counts.sentence, num)
            keys = pair_key(owner[counts.sentence[cut:] - num], counts.ngram[cut:])
            order = np.argsort(keys, kind='stable')
            own, other = match(pair_key(image[counts.sentence[:cut]], counts.ngram[:cut]), keys[order])
            other = cut + order[other]
            caption, reference = counts.sentence[own], counts.sentence[other]
            if self.variant == 'CIDEr-D':
                delta = lengths[caption] - lengths[reference]
                terms = np.minimum(weight[own], weight[other]) * np.exp(-(delta**2) / (2 * self.sigma**2))
            else:
                terms = weight[own]
            terms = terms * weight[other] / (norm[caption] * norm[reference])
            scores += np.bincount(caption, terms, minlength=num)
        return scores * 10 / (len(self._rarity) * np.bincount(owner, minlength=len(references))[image])

    def _weigh(self, counts: NGramCounts, rarity: np.ndarray, num_sentences: int) -> tuple[np.ndarray, np.ndarray]:
        """Weight of each entry, and length of each sentence's vector, which is 1 where that is 0."""
        rare = np.full(len(counts.ngram), math.log(self.num_images))  # of the n-grams beyond the table
        known = counts.ngram < len(rarity)
        rare[known] = rarity[counts.ngram[known]]
        weight = counts.count * rare
        norm = np.sqrt(np.bincount(counts.sentence, weight**2, minlength=num_sentences))
        return weight, np.where(norm > 0, norm, 1)

    def _images(
        self,
        candidates: Sequence[Tokens],
        references: Sequence[Sequence[Tokens]],
        images: Sequence[int] | np.ndarray | None,
    ) -> np.ndarray:
        if images is None:
            check_captions(candidates, references)
            return np.arange(len(candidates))
        check_references(references)
        image = np.asarray(images, np.int64)
        if image.shape != (len(candidates),):
            raise ValueError(f'{len(candidates)} candidates, but images has the shape {image.shape}')
        if len(image) and not 0 <= image.min() <= image.max() < len(references):
            raise ValueError(f'images must lie in 0..{len(references) - 1}, got {image.min()}..{image.max()}')
        return image


def cider(
    candidates: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    n: int = 4,
    sigma: float = 6.0,
    variant: Variant = 'CIDEr-D',
) -> np.ndarray:
    """CIDEr of each image, with document frequencies of the references themselves, as the official evaluation does.

    A score therefore depends on the set of images; with one image alone every weight is zero.

    Args:
        candidates (Sequence[Sequence[str]]): One tokenised caption an image.
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image, in the same order.
        n (int): Longest n-gram.
        sigma (float): Width of CIDEr-D's length penalty, in words.
        variant (str): 'CIDEr-D', which the official toolkit calls CIDEr, or 'CIDEr'; see :class:`CiderScorer`.

    Returns:
        np.ndarray: (images,), in [0, 10]; the score of a data set is its mean, about 1 for good captions of COCO.

    Raises:
        ValueError: No images, unequal counts, or an image without references.
    """
    check_captions(candidates, references)
    return CiderScorer(references, n, sigma, variant)(candidates, references)
