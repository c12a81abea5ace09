"""Captions by beam search in numpy, by the rules of ``mmyolor_mtl.models.text.generation``."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from .nms import best_first

_NEVER = np.float32(-np.inf)


class Decoding(Protocol):
    """One run of a decoder over B pictures, K sentences each; K is 1 at the start."""

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Append one token to each sentence, (B, K); return the log-probabilities (B, K, V) of the next."""
        ...

    def reorder(self, parents: np.ndarray) -> None:
        """Continue with these sentences (B, K') of the present ones."""
        ...


class Sentences(NamedTuple):
    """The best sentence about each of B pictures.

    Attributes:
        tokens: T ids for each, without the start token, the end token included where it came.
        scores: Mean log-probability a token for each.
    """

    tokens: list[list[int]]
    scores: list[float]


def beam_search(decoding: Decoding, count: int, settings: Mapping[str, Any]) -> Sentences:
    """Find likely sentences.

    Args:
        decoding (Decoding): A fresh run.
        count (int): Pictures B.
        settings (Mapping): ``bos_id``, ``eos_id``, ``pad_id``, ``suppress`` (ids that are never written), ``beam_size``
            (1 is greedy), ``max_length`` and ``min_length`` (tokens, end token included), ``length_penalty``,
            ``no_repeat_ngram``.
    """
    eos_id, pad_id = settings['eos_id'], settings['pad_id']
    tokens: np.ndarray = np.zeros((count, 1, 0), dtype=np.int64)
    log_probs: np.ndarray = np.zeros((count, 1, 0), dtype=np.float32)
    scores: np.ndarray = np.zeros((count, 1), dtype=np.float32)
    lengths: np.ndarray = np.zeros_like(scores)
    done: np.ndarray = np.zeros(scores.shape, dtype=bool)
    last: np.ndarray = np.full((count, 1), settings['bos_id'], dtype=np.int64)
    for _ in range(settings['max_length']):
        new = _allowed(decoding.step(last), tokens, settings)
        new[done] = _NEVER
        new[done, pad_id] = 0  # a finished sentence stays in the race at its score
        lengths = lengths + ~done
        totals = scores[..., None] + new
        ranks = totals / lengths[..., None] ** np.float32(settings['length_penalty'])
        # Where the rules leave no word the sentence ends, behind all others.
        ranks[np.isneginf(new).all(-1), eos_id] = np.finfo(np.float32).min
        best = np.stack([best_first(row, settings['beam_size']) for row in ranks.reshape(count, -1)])
        parents, last = np.divmod(best, new.shape[-1])
        taken = np.take_along_axis(new.reshape(count, -1), best, 1)
        tokens = np.concatenate([_take(tokens, parents), last[..., None]], -1)
        log_probs = np.concatenate([_take(log_probs, parents), taken[..., None]], -1)
        scores = np.take_along_axis(totals.reshape(count, -1), best, 1)
        lengths = np.take_along_axis(lengths, parents, 1)
        done = np.take_along_axis(done, parents, 1) | (last == eos_id)
        if (done | np.isneginf(scores)).all():
            break
        decoding.reorder(parents)
    ends = [_length(row, eos_id) for row in tokens[:, 0]]
    return Sentences(
        [row[:end].tolist() for row, end in zip(tokens[:, 0], ends, strict=True)],
        [float(row.sum() / end) for row, end in zip(log_probs[:, 0], ends, strict=True)],
    )


def _allowed(log_probs: np.ndarray, written: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """A copy of the log-probabilities (B, K, V) with -inf for what must not follow ``written`` (B, K, t)."""
    new = np.array(log_probs, dtype=np.float32)
    new[..., settings['suppress']] = _NEVER
    length, n = written.shape[2], settings['no_repeat_ngram']
    if length < settings['min_length']:
        new[..., settings['eos_id']] = _NEVER
    if 0 < n <= length:
        grams = np.lib.stride_tricks.sliding_window_view(written, n, axis=2)
        begun = (grams[..., :-1] == written[:, :, None, length - n + 1 :]).all(-1)
        image, beam, place = np.nonzero(begun)
        new[image, beam, grams[image, beam, place, -1]] = _NEVER
    return new


def _take(x: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Rows ``parents`` (B, K') of x (B, K, T), picture by picture."""
    return np.take_along_axis(x, parents[..., None], 1)


def _length(tokens: np.ndarray, eos_id: int) -> int:
    """Number of tokens (T,) up to and with the end token."""
    ends = np.flatnonzero(tokens == eos_id)
    return int(ends[0]) + 1 if len(ends) else len(tokens)
