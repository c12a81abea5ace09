"""Write sentences with any decoder that can take one more token: greedy and beam search."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Decoding(Protocol):
    """One run of a decoder over B images. It starts with one row an image and keeps what it has seen.

    Search asks for R = B * K rows, K beams of each image standing together, images in order.
    """

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each row, (R,); return the logits (R, V) of the next."""
        ...

    def reorder(self, rows: Tensor) -> None:
        """Continue with these rows (R',) of the present ones; a row may be taken several times or not at all."""
        ...


class Generated(NamedTuple):
    """Sentences of B images, the K best of each in falling order.

    Attributes:
        tokens: (B, K, T) without the start token; the end token is kept, padding follows it.
        log_probs: (B, K, T) log-probability of each token, 0 at padding.
        scores: (B, K) sum of log-probabilities over length ** length_penalty; what the order goes by.
    """

    tokens: Tensor
    log_probs: Tensor
    scores: Tensor


def generate(
    decoding: Decoding,
    start: Tensor,
    *,
    eos_id: int,
    pad_id: int,
    beam_size: int = 1,
    max_length: int = 20,
    min_length: int = 0,
    length_penalty: float = 0.0,
    suppress: Sequence[int] = (),
) -> Generated:
    """Find likely sentences (REFERENCE_SPEC 2.5, with an early stop, a length penalty and a minimum length added).

    Args:
        decoding: A fresh run.
        start: First token of each image, (B,).
        eos_id: Token that ends a sentence. A finished beam stays in the race at its score, continued by padding.
        pad_id: Padding token.
        beam_size: Beams K an image; 1 is greedy.
        max_length: Most tokens T to write, end token included.
        min_length: Fewest tokens before the end token may come.
        length_penalty: Sentences are ranked by score / length ** length_penalty: 0 prefers short ones, 1 ranks by the
            mean log-probability.
        suppress: Tokens that are never written.

    Returns:
        Generated: K = ``beam_size``, or fewer where not so many sentences exist; a score of -inf marks a beam that
        holds none.

    Raises:
        ValueError: A length or the number of beams is out of range.
    """
    if beam_size < 1:
        raise ValueError(f'beam_size={beam_size} must be at least 1')
    if not 0 <= min_length < max_length:
        raise ValueError(f'min_length={min_length} must be at least 0 and below max_length={max_length}')
    always = start.new_tensor(sorted(suppress), dtype=torch.long)
    early = start.new_tensor(sorted({*suppress, eos_id}), dtype=torch.long)

    def next_log_probs(tokens: Tensor, place: int) -> Tensor:
        log_probs = decoding.step(tokens).float().log_softmax(-1)
        return log_probs.index_fill(-1, early if place < min_length else always, float('-inf'))

    if beam_size == 1:
        return _greedy(next_log_probs, start, eos_id, pad_id, max_length, length_penalty)

    batch = start.numel()
    tokens, log_probs = start.new_empty((batch, 1, 0)), torch.empty((batch, 1, 0), device=start.device)
    scores, lengths = log_probs.new_zeros((batch, 1)), log_probs.new_zeros((batch, 1))
    done = torch.zeros_like(scores, dtype=torch.bool)
    last = start
    for place in range(max_length):
        beams = tokens.shape[1]
        new = next_log_probs(last, place).unflatten(0, (batch, beams))  # (B, K, V)
        new = torch.where(done[..., None], _only(pad_id, new), new)
        lengths = lengths + ~done
        totals = scores[..., None] + new
        ranks = totals / lengths[..., None] ** length_penalty
        # One row an image at first, so the beams grow to their number as there are sentences to fill them.
        ranks, best = ranks.flatten(1).topk(min(beam_size, ranks[0].numel()))
        parent, token = best // new.shape[-1], best % new.shape[-1]

        tokens = torch.cat([_take(tokens, parent), token[..., None]], -1)
        log_probs = torch.cat([_take(log_probs, parent), new.flatten(1).gather(1, best)[..., None]], -1)
        scores, lengths = totals.flatten(1).gather(1, best), lengths.gather(1, parent)
        done = done.gather(1, parent) | (token == eos_id)
        # A beam of no probability only holds a place that no sentence fills.
        if (done | scores.isneginf()).all():
            break
        decoding.reorder((parent + torch.arange(0, batch * beams, beams, device=start.device)[:, None]).flatten())
        last = token.flatten()
    return Generated(tokens, log_probs, ranks)


def _greedy(
    next_log_probs: Callable[[Tensor, int], Tensor],
    start: Tensor,
    eos_id: int,
    pad_id: int,
    max_length: int,
    length_penalty: float,
) -> Generated:
    """Beam search with one beam, which has nothing to reorder and nothing to sort."""
    tokens, log_probs, last = [], [], start
    done = torch.zeros_like(start, dtype=torch.bool)
    for place in range(max_length):
        best, last = next_log_probs(last, place).max(-1)
        last = last.masked_fill(done, pad_id)
        tokens.append(last)
        log_probs.append(best.masked_fill(done, 0.0))
        done = done | (last == eos_id)
        if done.all():
            break
    sentence, terms = torch.stack(tokens, -1)[:, None], torch.stack(log_probs, -1)[:, None]
    scores = terms.sum(-1) / sentence_lengths(sentence, eos_id) ** length_penalty
    return Generated(sentence, terms, scores)


def sentence_lengths(tokens: Tensor, eos_id: int) -> Tensor:
    """Number of tokens (...) of sentences (..., T) up to and with the end token."""
    is_eos = tokens == eos_id
    return (is_eos.cumsum(-1) - is_eos.long() == 0).sum(-1)


def _only(token: int, log_probs: Tensor) -> Tensor:
    """Log-probabilities (V,) of a finished beam: the one continuation costs nothing."""
    only = log_probs.new_full((log_probs.shape[-1],), float('-inf'))
    only[token] = 0.0
    return only


def _take(x: Tensor, parent: Tensor) -> Tensor:
    """Rows ``parent`` (B, K') of x (B, K, T), image by image."""
    return x.gather(1, parent[..., None].expand(-1, -1, x.shape[-1]))
