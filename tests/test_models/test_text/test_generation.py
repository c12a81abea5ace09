"""Greedy and beam search against exhaustive enumeration of a toy language; samples against its distribution."""

import itertools

import pytest
import torch

from mmyolor_mtl.models.text.generation import Generated, generate, sample, sentence_lengths

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

    start = torch.tensor([BOS, BOS])
    kwargs = dict(**IDS, max_length=5, no_repeat_ngram=2, suppress=(PAD,))
    found = [generate(Bigram(), start, beam_size=beam_size, **kwargs) for beam_size in (1, 3)]
    for result in (*found, sample(Bigram(), start, num_samples=3, top_p=0.9, **kwargs)):
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


def repeats(words, n):
    grams = [words[i : i + n] for i in range(len(words) - n + 1)]
    return len(grams) != len(set(grams))


@pytest.mark.parametrize('n', [1, 2, 3])
@pytest.mark.parametrize('min_length', [0, 2])
def test_wide_beam_with_rules_equals_exhaustive_search(n, min_length):
    """Ruled out is what repeats n tokens, ends too early, or holds a suppressed token."""
    rules = dict(no_repeat_ngram=n, min_length=min_length, suppress=(3,), length_penalty=0.8)
    result, _ = search([3, 8], vocab_size=5, beam_size=400, max_length=4, **rules)
    for tokens, scores, seed in zip(result.tokens, result.scores, (3, 8), strict=True):
        truth = [
            (words, score)
            for words, score in exhaustive(seed, 4, 5, 0.8)
            if not repeats(words, n) and 3 not in words and (EOS not in words or len(words) > min_length)
        ]
        assert len(truth) > 10
        assert scores[: len(truth)].tolist() == pytest.approx([score for _, score in truth], abs=1e-5)
        assert scores[len(truth) :].isneginf().all()
        lengths = sentence_lengths(tokens, EOS).tolist()
        got = [tuple(row[:m]) for row, m in zip(tokens.tolist(), lengths, strict=True)]
        assert got[:10] == [words for words, _ in truth[:10]]


@pytest.mark.parametrize('n', [1, 2, 3])
def test_no_way_of_writing_repeats_ngrams(n):
    args = dict(max_length=12, min_length=4, suppress=(PAD, BOS))
    beams = [search(range(10), vocab_size=9, beam_size=k, no_repeat_ngram=n, **args)[0] for k in (1, 4)]
    draws = search_samples(range(10), vocab_size=9, num_samples=4, no_repeat_ngram=n, **args)
    free, _ = search(range(10), vocab_size=9, beam_size=1, **args)
    assert any(repeats(row, n) for row in cut(free)), 'nothing repeats, the test shows nothing'
    for result in (*beams, draws):
        assert not any(repeats(row, n) for row in cut(result))


def cut(result):
    """Sentences as tuples, end token included."""
    rows = result.tokens.flatten(0, 1)
    return [tuple(r[:m]) for r, m in zip(rows.tolist(), sentence_lengths(rows, EOS).tolist(), strict=True)]


def search_samples(images, *, vocab_size=5, **kwargs):
    language = ToyLanguage(list(images), vocab_size)
    return sample(language, torch.full((len(language.seeds),), BOS), **IDS, **kwargs)


@pytest.mark.parametrize('write', [search, search_samples])
def test_rules_that_leave_no_word_end_the_sentence_at_no_probability(write):
    kwargs = dict(max_length=8, min_length=6, no_repeat_ngram=1)
    result = write([0, 1], **kwargs)
    result = result if isinstance(result, Generated) else result[0]
    assert result.scores.isneginf().all()


class FixedLanguage:
    """Each word from one distribution."""

    def __init__(self, probs):
        self.logits = torch.tensor(probs).log()

    def step(self, tokens):
        return self.logits.expand(len(tokens), -1)

    def reorder(self, rows):
        pass


@pytest.mark.parametrize(
    ('settings', 'want'),
    [
        (dict(), [0.0, 0.1, 0.2, 0.4, 0.3]),
        (dict(top_p=0.65), [0, 0, 0, 4 / 7, 3 / 7]),
        (dict(top_p=0.71), [0, 0, 2 / 9, 4 / 9, 3 / 9]),
        (dict(top_p=1e-6), [0, 0, 0, 1, 0]),
        (dict(temperature=0.5), [0, 1 / 30, 4 / 30, 16 / 30, 9 / 30]),
        (dict(suppress=(3,)), [0, 1 / 6, 2 / 6, 0, 3 / 6]),
        (dict(suppress=(3,), top_p=0.8), [0, 0, 2 / 5, 0, 3 / 5]),
    ],
)
def test_words_are_drawn_as_often_as_they_are_likely(settings, want):
    probs = [0.0, 0.1, 0.2, 0.4, 0.3]
    result = sample(
        FixedLanguage(probs),
        torch.tensor([BOS, BOS]),
        **IDS,
        num_samples=10_000,
        max_length=1,
        seeds=[1, 2],
        **settings,
    )
    for tokens in result.tokens:
        counts = tokens.flatten().bincount(minlength=5) / 10_000
        torch.testing.assert_close(counts, torch.tensor(want, dtype=torch.float32), atol=0.02, rtol=0)
        assert (counts[torch.tensor(want) == 0] == 0).all()
    torch.testing.assert_close(result.log_probs.exp(), torch.tensor(probs)[result.tokens])


def test_seeded_samples_do_not_depend_on_the_batch():
    kwargs = dict(vocab_size=9, num_samples=3, max_length=8, top_p=0.9, temperature=1.3)
    together = search_samples(range(6), seeds=range(6), **kwargs)
    assert torch.equal(search_samples(range(6), seeds=range(6), **kwargs).tokens, together.tokens)
    assert not torch.equal(search_samples(range(6), seeds=range(1, 7), **kwargs).tokens, together.tokens)
    for seed in range(6):
        alone = search_samples([seed], seeds=[seed], **kwargs)
        length = alone.tokens.shape[-1]
        assert torch.equal(alone.tokens[0], together.tokens[seed, :, :length])
        torch.testing.assert_close(alone.scores[0], together.scores[seed])
    assert len(set(cut(together))) > 10


def test_unseeded_samples_follow_the_global_generator():
    kwargs = dict(vocab_size=9, num_samples=4, max_length=8)
    torch.manual_seed(3)
    first, second = (search_samples([0, 0], **kwargs).tokens for _ in range(2))
    torch.manual_seed(3)
    assert torch.equal(search_samples([0, 0], **kwargs).tokens, first) and not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_scores_of_samples_are_mean_log_probs_in_falling_order():
    result = search_samples(range(5), num_samples=6, max_length=8, temperature=2.0)
    lengths = sentence_lengths(result.tokens, EOS)
    torch.testing.assert_close(result.scores, result.log_probs.sum(-1) / lengths)
    assert (result.scores.diff(dim=1) <= 0).all()
    language = ToyLanguage([0])
    words = cut(result)[0]
    want = [language.logits(0, (BOS, *words[:i])).log_softmax(-1)[w] for i, w in enumerate(words)]
    torch.testing.assert_close(result.log_probs[0, 0, : len(words)], torch.stack(want))


def test_cold_samples_are_greedy():
    greedy, _ = search(range(5), max_length=8)
    cold = search_samples(range(5), max_length=8, temperature=1e-3)
    assert torch.equal(cold.tokens, greedy.tokens)
    torch.testing.assert_close(cold.log_probs, greedy.log_probs)


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        (dict(num_samples=0), 'num_samples=0'),
        (dict(top_p=0.0), 'top_p=0.0'),
        (dict(top_p=1.1), 'top_p=1.1'),
        (dict(temperature=0.0), 'temperature=0.0'),
        (dict(seeds=[1]), '1 seeds do not fit 2 images'),
        (dict(no_repeat_ngram=-1), 'no_repeat_ngram=-1'),
    ],
)
def test_bad_arguments_of_sampling(bad, message):
    with pytest.raises(ValueError, match=message):
        search_samples([0, 1], **bad)
