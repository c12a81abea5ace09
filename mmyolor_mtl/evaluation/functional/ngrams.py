"""What the caption scores share: n-grams as integers, which numpy counts and matches, and checks of arguments."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Tokens = Sequence[str]
NGram = tuple[str, ...]

_SHIFT = 32  # two ids share one int64


@dataclass
class NGramCounts:
    """How often the sentences have the n-grams of one length, one entry for each n-gram of a sentence.

    Attributes:
        sentence (np.ndarray): (E,) int64, ascending.
        ngram (np.ndarray): (E,) int64 ids, ascending within a sentence.
        count (np.ndarray): (E,) int64.
    """

    sentence: np.ndarray
    ngram: np.ndarray
    count: np.ndarray

    def split(self, sentence: int) -> tuple['NGramCounts', 'NGramCounts']:
        """The entries of the sentences before ``sentence``, and those of the others, which are numbered anew from 0."""
        cut = np.searchsorted(self.sentence, sentence)
        return (
            NGramCounts(self.sentence[:cut], self.ngram[:cut], self.count[:cut]),
            NGramCounts(self.sentence[cut:] - sentence, self.ngram[cut:], self.count[cut:]),
        )


class NGramTable:
    """Gives n-grams of 1..n words integer ids.

    An n-gram's key is the id of its first n - 1 words and that of its last word, so ids are exact: nothing is hashed.

    Args:
        n (int): Longest n-gram.
        sentences (Sequence[Sequence[str]]): Their n-grams are known: the same sentences get the same ids whenever they
            are counted. Others get ids beyond :attr:`sizes`, which are valid within one call of :meth:`count`.

    Raises:
        ValueError: ``n`` is less than 1.
    """

    def __init__(self, n: int = 4, sentences: Sequence[Tokens] = ()) -> None:
        if n < 1:
            raise ValueError(f'n-grams have at least one word, n={n}')
        self.n = n
        self._words: dict[str, int] = {}
        self._keys = [np.empty(0, np.int64) for _ in range(n - 1)]
        for word in (word for sentence in sentences for word in sentence):
            self._words.setdefault(word, len(self._words))
        for order, (keys, _) in enumerate(self._walk(sentences)):
            if order:
                self._keys[order - 1] = np.unique(keys)

    @property
    def sizes(self) -> list[int]:
        """The number of known n-grams of 1..n words; their ids are below it."""
        return [len(self._words), *map(len, self._keys)]

    def ids(self, sentences: Sequence[Tokens]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Ids of all n-grams in the order in which they occur.

        Args:
            sentences (Sequence[Sequence[str]]): Tokenised sentences.

        Returns:
            list[tuple]: For 1..n words the ids, (P,) int64, and the sentence of each, (P,) int64.
        """
        return [(self._known(order, keys), sentence) for order, (keys, sentence) in enumerate(self._walk(sentences))]

    def count(self, sentences: Sequence[Tokens]) -> list[NGramCounts]:
        """Count the n-grams of each sentence.

        Args:
            sentences (Sequence[Sequence[str]]): Tokenised sentences.

        Returns:
            list[NGramCounts]: For 1..n words.
        """
        counts = []
        for ids, sentence in self.ids(sentences):
            pairs, count = np.unique(sentence << _SHIFT | ids, return_counts=True)
            counts.append(NGramCounts(pairs >> _SHIFT, pairs & (1 << _SHIFT) - 1, count))
        return counts

    def _walk(self, sentences: Sequence[Tokens]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the keys and the sentence of all n-grams, for 1..n words."""
        words = self._word_ids(sentences)
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        sentence = np.repeat(np.arange(len(sentences)), lengths)
        keys = words
        starts: np.ndarray = np.arange(len(words))
        yield keys, sentence
        for order in range(1, self.n):
            prefix = self._known(order - 1, keys)
            inside = starts + order < len(words)
            inside[inside] = sentence[starts[inside] + order] == sentence[starts[inside]]
            starts, prefix = starts[inside], prefix[inside]
            keys = prefix << _SHIFT | words[starts + order]
            yield keys, sentence[starts]

    def _word_ids(self, sentences: Sequence[Tokens]) -> np.ndarray:
        words = [word for sentence in sentences for word in sentence]
        new = [word for word in dict.fromkeys(words) if word not in self._words]
        ids = {**self._words, **{word: len(self._words) + i for i, word in enumerate(new)}} if new else self._words
        return np.fromiter(map(ids.__getitem__, words), np.int64, len(words))

    def _known(self, order: int, keys: np.ndarray) -> np.ndarray:
        """Turn keys into ids: the place in the table, or a number beyond it."""
        if order == 0:
            return keys
        table = self._keys[order - 1]
        ids = np.searchsorted(table, keys)
        new = ids == len(table)
        new[~new] = table[ids[~new]] != keys[~new]
        ids[new] = len(table) + np.unique(keys[new], return_inverse=True)[1]
        return ids


def count_ngrams(tokens: Tokens, n: int = 4) -> Counter[NGram]:
    """Count all n-grams of length 1..n of one sentence.

    Args:
        tokens (Sequence[str]): One sentence.
        n (int): Longest n-gram.

    Returns:
        Counter: How often each n-gram (a tuple of words) occurs.
    """
    return Counter(
        tuple(tokens[start : start + length]) for length in range(1, n + 1) for start in range(len(tokens) - length + 1)
    )


def match(keys: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of equal values.

    Args:
        keys (np.ndarray): (K,) integers.
        table (np.ndarray): (T,) integers, ascending; values may repeat.

    Returns:
        tuple[np.ndarray, np.ndarray]: Places in ``keys`` and in ``table``, (pairs,) each.
    """
    first = np.searchsorted(table, keys, 'left')
    hits = np.searchsorted(table, keys, 'right') - first
    pairs = np.arange(hits.sum())
    within = pairs - np.repeat(np.cumsum(hits) - hits, hits)
    return np.repeat(np.arange(len(keys)), hits), np.repeat(first, hits) + within


def pair_key(image: np.ndarray, ngram: np.ndarray) -> np.ndarray:
    """One int64 from an image's number and an n-gram's id, both below 2**31."""
    return image << _SHIFT | ngram


def check_captions(candidates: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> None:
    """Check that there is one candidate an image and at least one reference.

    Raises:
        ValueError: No images, unequal counts, or an image without references.
    """
    if not len(candidates):
        raise ValueError('no captions to score')
    if len(candidates) != len(references):
        raise ValueError(f'{len(candidates)} candidates for {len(references)} images with references')
    check_references(references)


def check_references(references: Sequence[Sequence[Tokens]]) -> None:
    """Check that each image has a reference.

    Raises:
        ValueError: An image has none.
    """
    empty = next((i for i, refs in enumerate(references) if not refs), None)
    if empty is not None:
        raise ValueError(f'image {empty} has no reference caption')


def flatten(references: Sequence[Sequence[Tokens]]) -> tuple[list[Tokens], np.ndarray]:
    """All references in one list, and the image of each, (references,) int64."""
    counts = [len(refs) for refs in references]
    return [ref for refs in references for ref in refs], np.repeat(np.arange(len(references)), counts)
