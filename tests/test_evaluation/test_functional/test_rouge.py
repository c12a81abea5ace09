import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.evaluation.functional import lcs_length, rouge_l

from ..helpers import golden, golden_tokens

sentences = st.lists(st.sampled_from('abc'), max_size=12)


def slow_lcs(first, second):
    """The textbook table."""
    rows = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            rows[i + 1][j + 1] = rows[i][j] + 1 if a == b else max(rows[i][j + 1], rows[i + 1][j])
    return rows[-1][-1]


def test_equals_official():
    scores = rouge_l(*golden_tokens())
    assert scores == pytest.approx(golden()['rouge_l'], abs=1e-9)
    assert scores.mean() == pytest.approx(golden()['scores']['ROUGE_L'], abs=1e-9)


@given(sentences, sentences)
def test_lcs(first, second):
    assert lcs_length(first, second) == slow_lcs(first, second)


def test_by_hand():
    # 'a b c' against 'a c d e': common 'a c', precision 2/3, recall 2/4.
    p, r, beta = 2 / 3, 1 / 2, 1.2
    expected = (1 + beta**2) * p * r / (r + beta**2 * p)
    assert rouge_l([['a', 'b', 'c']], [[['a', 'c', 'd', 'e']]]) == pytest.approx([expected])


@pytest.mark.parametrize(
    ('candidate', 'reference', 'score'),
    [(['a', 'b'], ['a', 'b'], 1), (['a'], ['b'], 0), ([], ['b'], 0), (['a'], [], 0), ([], [], 1)],
)
def test_extremes(candidate, reference, score):
    assert rouge_l([candidate], [[reference]]).tolist() == [score]
