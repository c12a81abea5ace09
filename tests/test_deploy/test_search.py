"""Beam search in numpy finds what the search of the caption head finds."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.deploy.search import beam_search
from mmyolor_mtl.models.text.generation import generate, sentence_lengths

from ..test_models.test_text.test_generation import BOS, EOS, PAD, ToyLanguage

UNKNOWN = 3


class ToyDecoding:
    """The toy language as an exported decoder."""

    def __init__(self, seeds, vocab_size):
        self.language = ToyLanguage(seeds, vocab_size)

    def step(self, tokens):
        logits = self.language.step(torch.from_numpy(tokens.ravel()))
        return logits.log_softmax(-1).numpy().reshape(*tokens.shape, -1)

    def reorder(self, parents):
        beams = len(self.language.prefixes) // len(parents)
        rows = parents + beams * np.arange(len(parents))[:, None]
        self.language.reorder(torch.from_numpy(rows.ravel()))


def write(seeds, vocab_size, **rules):
    return beam_search(ToyDecoding(seeds, vocab_size), len(seeds), dict(rules, bos_id=BOS, eos_id=EOS, pad_id=PAD))


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=3),
    st.integers(5, 9),
    st.integers(1, 6),
    st.integers(1, 9),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 3),
)
@settings(max_examples=120, deadline=None)
def test_equals_generate(seeds, vocab_size, beam_size, max_length, min_length, length_penalty, no_repeat_ngram):
    rules = dict(
        beam_size=beam_size,
        max_length=max_length,
        min_length=min(min_length, max_length - 1),
        length_penalty=length_penalty,
        no_repeat_ngram=no_repeat_ngram,
        suppress=[PAD, BOS, UNKNOWN],
    )
    start = torch.full((len(seeds),), BOS)
    expected = generate(ToyLanguage(seeds, vocab_size), start, eos_id=EOS, pad_id=PAD, **rules)
    found = write(seeds, vocab_size, **rules)
    lengths = sentence_lengths(expected.tokens[:, 0], EOS).tolist()
    for i, length in enumerate(lengths):
        if expected.scores[i, 0] == float('-inf'):
            continue  # the rules left no sentence: any will do
        assert found.tokens[i] == expected.tokens[i, 0, :length].tolist()
        mean = float(expected.log_probs[i, 0].sum()) / length
        assert abs(found.scores[i] - mean) < 1e-5


def test_a_sentence_ends_where_no_word_is_allowed():
    rules = dict(beam_size=1, max_length=8, min_length=7, length_penalty=0.0, no_repeat_ngram=1)
    found = write([1], 5, suppress=[PAD, BOS], **rules)
    expected = generate(ToyLanguage([1], 5), torch.tensor([BOS]), eos_id=EOS, pad_id=PAD, suppress=[PAD, BOS], **rules)
    # Two words of the five may be written, each once, and the end not before the eighth place.
    assert found.tokens[0] == expected.tokens[0, 0].tolist()
    assert len(found.tokens[0]) == 3 and found.tokens[0][-1] == EOS and found.scores[0] == float('-inf')
