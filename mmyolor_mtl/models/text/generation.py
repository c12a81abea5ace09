"""Write sentences with any decoder that can take one more token: greedy, beam search and sampling."""

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
    """K sentences for each of B images, in falling order of their scores.

    Attributes:
        tokens: (B, K, T) without the start token; the end token is kept, padding follows it.
        log_probs: (B, K, T) log-probability of each token, 0 at padding. Has a gradient unless that is switched off.
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
    no_repeat_ngram: int = 0,
    suppress: Sequence[int] = (),
) -> Generated:
    """Find likely sentences (REFERENCE_SPEC 2.5, with an early stop and the rules below added).

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
        no_repeat_ngram: No n tokens in a row occur twice in a sentence; 0 allows it.
        suppress: Tokens that are never written.

    Returns:
        Generated: K = ``beam_size``, or fewer where not so many sentences exist; a score of -inf marks a beam that
        holds none.

    Raises:
        ValueError: A length, the size of the n-grams or the number of beams is out of range.
    """
    if beam_size < 1:
        raise ValueError(f'beam_size={beam_size} must be at least 1')
    rules = _Rules(decoding, start, eos_id, suppress, min_length, max_length, no_repeat_ngram)
    if beam_size == 1:
        return _one_by_one(rules, start, lambda log_probs, _: log_probs.argmax(-1), 1, pad_id, length_penalty)

    batch = start.numel()
    tokens, log_probs = start.new_empty((batch, 1, 0)), torch.empty((batch, 1, 0), device=start.device)
    scores, lengths = log_probs.new_zeros((batch, 1)), log_probs.new_zeros((batch, 1))
    done = torch.zeros_like(scores, dtype=torch.bool)
    last = start
    for _ in range(max_length):
        beams = tokens.shape[1]
        new = rules.next_log_probs(last, tokens.flatten(0, 1)).unflatten(0, (batch, beams))  # (B, K, V)
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


def sample(
    decoding: Decoding,
    start: Tensor,
    *,
    eos_id: int,
    pad_id: int,
    num_samples: int = 1,
    top_p: float = 1.0,
    temperature: float = 1.0,
    seeds: Sequence[int] | None = None,
    max_length: int = 20,
    min_length: int = 0,
    no_repeat_ngram: int = 0,
    suppress: Sequence[int] = (),
) -> Generated:
    """Draw sentences at random, word by word (nucleus sampling, Holtzman et al., 2020).

    Args:
        decoding: A fresh run.
        start: First token of each image, (B,).
        eos_id: Token that ends a sentence.
        pad_id: Padding token.
        num_samples: Sentences K an image. Two of them may be equal.
        top_p: A word is drawn from the likeliest ones that together have this probability, in (0, 1].
        temperature: Log-probabilities are divided by it before that: below 1 likely words become likelier. Above 0.
        seeds: One number an image: its sentences are the same then in any batch. None draws from PyTorch's global
            generator.
        max_length: As of :func:`generate`.
        min_length: As of :func:`generate`.
        no_repeat_ngram: As of :func:`generate`.
        suppress: As of :func:`generate`.

    Returns:
        Generated: ``log_probs`` are those of the decoder, before ``temperature`` and ``top_p``; ``scores`` their mean
        over a sentence.

    Raises:
        ValueError: A setting is out of range, or there are not as many seeds as images.
    """
    if num_samples < 1:
        raise ValueError(f'num_samples={num_samples} must be at least 1')
    if not 0 < top_p <= 1:
        raise ValueError(f'top_p={top_p} must be above 0 and at most 1')
    if not temperature > 0:
        raise ValueError(f'temperature={temperature} must be above 0; beam_size=1 is its limit')
    if seeds is not None and len(seeds) != start.numel():
        raise ValueError(f'{len(seeds)} seeds do not fit {start.numel()} images')
    shape = (max_length, num_samples)
    chances = torch.stack(
        [
            torch.rand(shape, generator=None if seeds is None else torch.Generator().manual_seed(seeds[i]))
            for i in range(start.numel())
        ],
        dim=1,
    )  # (T, B, K), on the CPU: devices draw different numbers from one seed
    chances = chances.flatten(1).to(start.device)

    def choose(log_probs: Tensor, place: int) -> Tensor:
        return _draw(log_probs.detach() / temperature, top_p, chances[place])

    rules = _Rules(decoding, start, eos_id, suppress, min_length, max_length, no_repeat_ngram)
    drawn = _one_by_one(rules, start, choose, num_samples, pad_id, length_penalty=1.0)
    scores, order = drawn.scores.sort(dim=1, descending=True, stable=True)
    return Generated(_take(drawn.tokens, order), _take(drawn.log_probs, order), scores)


class _Rules:
    """What may follow, for all ways to write."""

    def __init__(
        self,
        decoding: Decoding,
        start: Tensor,
        eos_id: int,
        suppress: Sequence[int],
        min_length: int,
        max_length: int,
        no_repeat_ngram: int,
    ) -> None:
        if not 0 <= min_length < max_length:
            raise ValueError(f'min_length={min_length} must be at least 0 and below max_length={max_length}')
        if no_repeat_ngram < 0:
            raise ValueError(f'no_repeat_ngram={no_repeat_ngram} must be at least 0')
        self.decoding, self.eos_id = decoding, eos_id
        self.min_length, self.max_length, self.no_repeat_ngram = min_length, max_length, no_repeat_ngram
        self.always = start.new_tensor(sorted(suppress), dtype=torch.long)
        self.early = start.new_tensor(sorted({*suppress, eos_id}), dtype=torch.long)

    def next_log_probs(self, last: Tensor, written: Tensor) -> Tensor:
        """Log-probabilities (R, V) of the token after ``last`` (R,), -inf where it must not follow ``written`` (R, t).

        The rows are not scaled to sum to 1 again.
        """
        log_probs = self.decoding.step(last).float().log_softmax(-1)
        early = written.shape[1] < self.min_length
        log_probs = log_probs.index_fill(-1, self.early if early else self.always, float('-inf'))
        return _block_ngrams(log_probs, written, self.no_repeat_ngram)


def _block_ngrams(log_probs: Tensor, written: Tensor, n: int) -> Tensor:
    """Rule out each token (R, V) that would complete an n-gram which ``written`` (R, t) holds already."""
    if not 0 < n <= written.shape[1]:
        return log_probs
    grams = written.unfold(1, n, 1)  # (R, t - n + 1, n)
    begun = (grams[..., :-1] == written[:, None, written.shape[1] - n + 1 :]).all(-1)
    return log_probs.scatter_add(1, grams[..., -1], torch.where(begun, float('-inf'), 0.0).to(log_probs))


def _one_by_one(
    rules: _Rules,
    start: Tensor,
    choose: Callable[[Tensor, int], Tensor],
    rows: int,
    pad_id: int,
    length_penalty: float,
) -> Generated:
    """Write ``rows`` sentences an image; ``choose(log_probs (R, V), place)`` gives the next token of each, (R,)."""
    count = start.numel() * rows
    tokens, log_probs = start.new_empty((count, 0)), torch.empty((count, 0), device=start.device)
    done = torch.zeros(count, dtype=torch.bool, device=start.device)
    last = start
    for place in range(rules.max_length):
        new = rules.next_log_probs(last, tokens if place else tokens[::rows])
        if place == 0 and rows > 1:
            # The first word needs one row an image only.
            copies = torch.arange(start.numel(), device=start.device).repeat_interleave(rows)
            rules.decoding.reorder(copies)
            new = new[copies]
        # Where the rules leave no word the sentence ends, at a probability of zero.
        stuck = new.isneginf().all(-1)
        last = choose(new, place).masked_fill(stuck, rules.eos_id).masked_fill(done, pad_id)
        term = new.gather(1, last[:, None])[:, 0].masked_fill(done, 0.0)
        tokens, log_probs = torch.cat([tokens, last[:, None]], 1), torch.cat([log_probs, term[:, None]], 1)
        done = done | (last == rules.eos_id)
        if done.all():
            break
    lengths = sentence_lengths(tokens, rules.eos_id)
    scores = log_probs.sum(-1) / lengths**length_penalty
    shape = (start.numel(), rows)
    return Generated(tokens.unflatten(0, shape), log_probs.unflatten(0, shape), scores.unflatten(0, shape))


def _draw(log_probs: Tensor, top_p: float, chances: Tensor) -> Tensor:
    """Draw a token of each row (R, V) from its nucleus, with one uniform number each, (R,)."""
    if top_p < 1:
        log_probs, order = log_probs.sort(dim=-1, descending=True)
    probs = log_probs.softmax(-1).nan_to_num()
    mass = probs.cumsum(-1)
    if top_p < 1:
        # The likeliest words up to and with the one that reaches top_p.
        probs = probs.masked_fill(mass - probs >= top_p, 0.0)
        mass = probs.cumsum(-1)
    # Rounding could point past the last word that has a probability.
    index = torch.searchsorted(mass, chances[:, None] * mass[:, -1:], right=True)
    last = probs.shape[-1] - 1 - (probs > 0).flip(-1).long().argmax(-1, keepdim=True)
    index = torch.minimum(index, last)
    return (index if top_p == 1 else order.gather(1, index))[:, 0]


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
