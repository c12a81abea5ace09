import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.evaluation.functional import distinct, diversity

sentences = st.lists(st.lists(st.sampled_from('abc'), max_size=6), min_size=1, max_size=5)


def test_by_hand():
    captions = [['a', 'red', 'dog'], ['a', 'red', 'cat'], ['a']]
    references = [[['a', 'dog'], ['one', 'dog']], [['the', 'red', 'cat']], [['a', 'bird']]]
    assert diversity(captions, references) == {
        'distinct_1': pytest.approx(4 / 7),
        'distinct_2': pytest.approx(3 / 4),  # 'a red' twice
        'vocabulary': 4,
        'vocabulary_share': pytest.approx(4 / 7),  # a, red, dog, cat of a, dog, one, the, red, cat, bird
        'mean_length': pytest.approx(7 / 3),
    }


def test_empty_captions():
    assert diversity([[], []], [[[]], [[]]]) == {
        'distinct_1': 0,
        'distinct_2': 0,
        'vocabulary': 0,
        'vocabulary_share': 0,
        'mean_length': 0,
    }
    with pytest.raises(ValueError, match='no captions'):
        diversity([], [])


@given(sentences)
def test_distinct_counts_sets(captions):
    for n, value in enumerate(distinct(captions, 3), start=1):
        ngrams = [tuple(c[i : i + n]) for c in captions for i in range(len(c) - n + 1)]
        assert value == (len(set(ngrams)) / len(ngrams) if ngrams else 0)
