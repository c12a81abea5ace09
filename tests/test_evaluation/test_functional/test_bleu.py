import math
import random

import numpy as np
import pytest
from nltk.translate.bleu_score import corpus_bleu as nltk_bleu

from mmyolor_mtl.evaluation.functional import bleu, corpus_bleu, count_ngrams

from ..helpers import golden, golden_tokens


def test_equals_official():
    scores = golden()['scores']
    expected = [scores[f'Bleu_{n}'] for n in range(1, 5)]
    assert corpus_bleu(*golden_tokens()) == pytest.approx(expected, abs=1e-9)


def test_perfect():
    assert corpus_bleu([['a', 'b', 'c', 'd', 'e']], [[['x'], ['a', 'b', 'c', 'd', 'e']]]) == pytest.approx(np.ones(4))


def test_by_hand():
    # Clipping: one of the two 'the' counts. The closest reference has 4 words, so brevity costs e^(1 - 4/3).
    scores = corpus_bleu(
        [['the', 'the', 'cat']], [[['the', 'cat', 'sat', 'down'], ['a', 'b', 'c', 'd', 'e', 'f']]], n=2
    )
    brevity = math.exp(1 - 4 / 3)
    assert scores == pytest.approx([brevity * 2 / 3, brevity * math.sqrt(2 / 3 * 1 / 2)], abs=1e-6)


def test_equals_nltk_on_random_captions():
    rng = random.Random(3)
    words = 'abcdefg'
    candidates = [rng.choices(words, k=rng.randint(5, 12)) for _ in range(40)]
    references = [[rng.choices(words, k=rng.randint(5, 12)) for _ in range(3)] for _ in range(40)]
    for n in range(1, 5):
        expected = nltk_bleu(references, candidates, weights=[1 / n] * n)
        assert corpus_bleu(candidates, references, n)[-1] == pytest.approx(expected, rel=1e-6)


def test_empty_candidate_scores_zero():
    assert corpus_bleu([[]], [[['a', 'dog']]]) == pytest.approx(np.zeros(4), abs=1e-9)


@pytest.mark.parametrize(
    ('candidates', 'references', 'message'),
    [([], [], 'no captions'), ([['a']], [], '1 candidates for 0'), ([['a']], [[]], 'image 0 has no reference')],
)
def test_bad_input(candidates, references, message):
    with pytest.raises(ValueError, match=message):
        corpus_bleu(candidates, references)


def test_count_ngrams():
    assert count_ngrams(['a', 'b', 'a', 'b'], 2) == {('a',): 2, ('b',): 2, ('a', 'b'): 2, ('b', 'a'): 1}
    assert count_ngrams([], 4) == {}


def test_images_equal_official():
    total, images = bleu(*golden_tokens())
    assert total.tolist() == corpus_bleu(*golden_tokens()).tolist()
    assert np.abs(images.T - golden()['bleu_images']).max() < 1e-9
    alone = bleu(golden_tokens()[0][:1], golden_tokens()[1][:1])
    assert alone[0] == pytest.approx(images[0])
