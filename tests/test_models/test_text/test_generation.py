"""Greedy and beam search against exhaustive enumeration of a toy language."""

import itertools

import pytest
import torch

from mmyolor_mtl.models.text.generation import generate, sentence_lengths

PAD, BOS, EOS = 0, 1, 2
IDS = dict(eos_id=EOS, pad_id=PAD)


class ToyLanguage:
    """Meets ``Decoding``: random logits that depend on the image's seed and on the whole prefix of a row."""

    def __init__(self, seeds, vocab_size=5):
        self.seeds, self.vocab_size = seeds, vocab_size
        self.prefixes = [()] * len(seeds)
        self.steps = self.rows = 0

    def logits(self, seed, prefix):
        number = sum((int(t) + 1) * 7**i for i, t in enumerate(prefix)) + 100_003 * seed
        return 2 * torch.randn(self.vocab_size, generator=torch.Generator().manual_seed(number))

    def step(self, tokens):
        assert len(tokens) == len(self.prefixes)
        self.steps, self.rows = self.steps + 1, self.rows + len(tokens)
        self.prefixes = [(*prefix, t) for prefix, t in zip(self.prefixes, tokens.tolist(), strict=True)]
        beams = len(tokens) // len(self.seeds)
        return torch.stack([self.logits(self.seeds[i // beams], p) for i, p in enumerate(self.prefixes)])

    def reorder(self, rows):
        self.prefixes = [self.prefixes[i] for i in rows.tolist()]


def exhaustive(seed, max_length, vocab_size, length_penalty=0.0):
    """Every sentence with its score, best first."""
    language = ToyLanguage([seed], vocab_size)
    found = {}
    for words in itertools.product(range(vocab_size), repeat=max_length):
        if EOS in words:
            words = words[: words.index(EOS) + 1]
        if words not in found:
            terms = [language.logits(seed, (BOS, *words[:i])).log_softmax(-1)[w] for i, w in enumerate(words)]
            found[words] = float(sum(terms)) / len(words) ** length_penalty
    return sorted(found.items(), key=lambda item: -item[1])


def search(seeds, *, vocab_size=5, **kwargs):
    language = ToyLanguage(seeds, vocab_size)
    return generate(language, torch.full((len(seeds),), BOS), **IDS, **kwargs), language


@pytest.mark.parametrize('length_penalty', [0.0, 0.7, 1.0])
def test_wide_beam_equals_exhaustive_search(length_penalty):
    result, _ = search([3, 8], vocab_size=4, beam_size=300, max_length=4, length_penalty=length_penalty)
    for tokens, scores, seed in zip(result.tokens, result.scores, (3, 8), strict=True):
        truth = exhaustive(seed, 4, 4, length_penalty)
        n = len(truth)
        assert scores[:n].tolist() == pytest.approx([score for _, score in truth], abs=1e-5)
        assert scores[n:].isneginf().all()
        # PAD is a word of the toy language too, so a sentence is cut by its length.
        lengths = sentence_lengths(tokens, EOS).tolist()
        got = [tuple(row[:m]) for row, m in zip(tokens.tolist(), lengths, strict=True)]
        assert got[:20] == [words for words, _ in truth[:20]]


def test_narrow_beam_is_what_a_plain_loop_finds():
    """The textbook algorithm, one image, one hypothesis at a time."""
    beams, language = [((BOS,), 0.0)], ToyLanguage([5])
    for _ in range(6):
        grown = []
        for prefix, score in beams:
            if prefix[-1] == EOS:
                grown.append((prefix, score))
                continue
            terms = language.logits(5, prefix).log_softmax(-1).tolist()
            grown += [((*prefix, w), score + x) for w, x in enumerate(terms)]
        beams = sorted(grown, key=lambda item: -item[1])[:3]
    result, _ = search([5], beam_size=3, max_length=6)
    assert result.scores[0].tolist() == pytest.approx([score for _, score in beams], abs=1e-5)
    for row, (prefix, _) in zip(result.tokens[0].tolist(), beams, strict=True):
        assert row[: len(prefix) - 1] == list(prefix[1:])
        assert set(row[len(prefix) - 1 :]) <= {PAD}


def test_finished_beams_are_frozen_and_padded():
    result, _ = search(range(6), beam_size=4, max_length=8)
    for tokens, log_probs in zip(result.tokens.flatten(0, 1), result.log_probs.flatten(0, 1), strict=True):
        if EOS in tokens:
            end = tokens.tolist().index(EOS) + 1
            assert (tokens[end:] == PAD).all() and (log_probs[end:] == 0).all()
    torch.testing.assert_close(result.log_probs.sum(-1), result.scores)
    assert (result.scores.diff(dim=1) <= 0).all()
    assert (result.tokens == EOS).any(), 'no sentence ended, the test shows nothing'


def test_log_probs_are_the_language_s_own():
    result, language = search([4], beam_size=3, max_length=5)
    words = result.tokens[0, 0, : sentence_lengths(result.tokens, EOS)[0, 0]].tolist()
    want = [language.logits(4, (BOS, *words[:i])).log_softmax(-1)[w] for i, w in enumerate(words)]
    torch.testing.assert_close(result.log_probs[0, 0, : len(words)], torch.stack(want))


def test_greedy_takes_the_best_word_each_time():
    result, language = search([1, 2, 3], beam_size=1, max_length=7)
    for seed, row in zip((1, 2, 3), result.tokens[:, 0].tolist(), strict=True):
        prefix = (BOS,)
        while len(prefix) <= 7 and EOS not in prefix:
            prefix = (*prefix, int(language.logits(seed, prefix).argmax()))
        assert row[: len(prefix) - 1] == list(prefix[1:])


@pytest.mark.parametrize('beam_size', [1, 3])
def test_images_do_not_influence_each_other(beam_size):
    together, _ = search(range(8), beam_size=beam_size, max_length=8, length_penalty=0.5)
    for seed in range(8):
        alone, _ = search([seed], beam_size=beam_size, max_length=8, length_penalty=0.5)
        length = alone.tokens.shape[-1]
        assert torch.equal(alone.tokens[0], together.tokens[seed, :, :length])
        assert (together.tokens[seed, :, length:] == PAD).all()
        torch.testing.assert_close(alone.scores[0], together.scores[seed])


@pytest.mark.parametrize('beam_size', [1, 4])
def test_min_length_and_suppressed_tokens(beam_size):
    free, _ = search(range(20), beam_size=beam_size, max_length=8)
    assert (sentence_lengths(free.tokens, EOS) < 4).any() and (free.tokens == 3).any()
    bound, _ = search(range(20), beam_size=beam_size, max_length=8, min_length=3, suppress=(PAD, 3))
    assert (sentence_lengths(bound.tokens, EOS) >= 4).all()
    assert not (bound.tokens == 3).any()
    assert not (bound.tokens[..., :3] == PAD).any()


@pytest.mark.parametrize('beam_size', [1, 3])
def test_stops_when_all_beams_are_done(beam_size):
    class Short(ToyLanguage):
        def logits(self, seed, prefix):
            logits = super().logits(seed, prefix)
            logits[EOS] += 100 * (len(prefix) == 3)
            return logits

    language = Short([1, 2])
    result = generate(language, torch.full((2,), BOS), **IDS, beam_size=beam_size, max_length=50, min_length=2)
    assert language.steps == 3
    assert result.tokens.shape == (2, beam_size, 3)
    assert language.rows == 2 * (1 + 2 * beam_size), 'the first step needs one row an image only'


def test_length_penalty_lengthens():
    short, _ = search(range(30), beam_size=4, max_length=10)
    long, _ = search(range(30), beam_size=4, max_length=10, length_penalty=1.0)
    mean = [sentence_lengths(r.tokens[:, 0], EOS).float().mean() for r in (short, long)]
    assert mean[1] > mean[0] + 0.5


def test_gradients_reach_the_logits():
    """Needed to optimise a sentence's score (REFERENCE_SPEC 3.5)."""
    weight = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)

    class Bigram:
        def step(self, tokens):
            return weight[tokens]

        def reorder(self, rows):
            pass

    for beam_size in (1, 3):
        result = generate(Bigram(), torch.tensor([BOS, BOS]), **IDS, beam_size=beam_size, max_length=5)
        (grad,) = torch.autograd.grad(result.log_probs.sum(), weight)
        assert grad.isfinite().all() and grad.abs().sum() > 0


def test_sentence_lengths():
    tokens = torch.tensor([[5, EOS, PAD, PAD], [5, 5, 5, 5], [EOS, PAD, PAD, PAD], [4, PAD, 4, EOS]])
    assert sentence_lengths(tokens, EOS).tolist() == [2, 4, 1, 4]


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        (dict(beam_size=0), 'beam_size=0'),
        (dict(max_length=3, min_length=3), 'min_length=3'),
        (dict(min_length=-1), '-1'),
    ],
)
def test_bad_arguments(bad, message):
    with pytest.raises(ValueError, match=message):
        search([0], **bad)
