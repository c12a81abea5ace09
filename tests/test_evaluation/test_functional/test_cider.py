import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.evaluation.functional import CiderScorer, cider, corpus_bleu, count_ngrams, document_frequency, rouge_l

from ..helpers import golden, golden_tokens

captions = st.lists(st.sampled_from('abcd'), max_size=8)


def test_equals_official():
    scores = cider(*golden_tokens())
    assert scores == pytest.approx(golden()['cider'], abs=1e-9)
    assert scores.mean() == pytest.approx(golden()['scores']['CIDEr'], abs=1e-9)


def test_all_scores_equal_official_on_coco(shared_dir):
    data = json.loads((shared_dir / 'parity' / 'fakecap126_scores.json').read_text())
    keys = list(data['tokenized_gts'])
    candidates = [data['tokenized_res'][key][0].split() for key in keys]
    references = [[caption.split() for caption in data['tokenized_gts'][key]] for key in keys]
    scores = [*corpus_bleu(candidates, references), rouge_l(candidates, references).mean()]
    scores.append(cider(candidates, references).mean())
    names = ['Bleu_1', 'Bleu_2', 'Bleu_3', 'Bleu_4', 'ROUGE_L', 'CIDEr']
    assert scores == pytest.approx([data['scores'][name] for name in names], abs=1e-9)


def test_by_hand():
    # Two images; 'a' occurs in both (weight 0), 'b' and 'c' in one (weight log 2 each). Only unigrams are there.
    scores = cider([['b'], ['b']], [[['b']], [['c']]], n=1)
    assert scores == pytest.approx([10, 0])
    # Clipping and the length penalty: 'b b b' against 'b c'; lengths counted in bigrams, 2 and 1.
    log2 = math.log(2)
    scores = cider([['b', 'b', 'b'], ['a']], [[['b', 'c']], [['d']]], n=1)
    cosine = log2 * log2 / (3 * log2 * math.sqrt(2) * log2)
    assert scores == pytest.approx([10 * cosine * math.exp(-1 / 72), 0])


def test_perfect_is_ten():
    sentences = [['a', 'b', 'c', 'd'], ['e', 'f', 'g', 'h']]
    assert cider(sentences, [[s] for s in sentences]) == pytest.approx([10, 10])


def test_one_image_has_no_weights():
    assert cider([['a', 'b']], [[['a', 'b']]]).tolist() == [0]


@given(st.lists(st.tuples(captions, st.lists(captions, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_range(images):
    scores = cider([c for c, _ in images], [refs for _, refs in images])
    assert ((scores >= 0) & (scores <= 10 + 1e-9)).all()


def test_document_frequency_counts_images():
    frequency = document_frequency([[['a', 'a'], ['a']], [['a', 'b']]], n=1)
    assert frequency == {('a',): 2, ('b',): 1}


def slow_cider(candidate, references, frequency, num_images, variant, n=4, sigma=6.0):
    """The formulas, n-gram by n-gram."""

    def vector(tokens, length):
        counts = {ngram: count for ngram, count in count_ngrams(tokens, n).items() if len(ngram) == length}
        return {ngram: count * math.log(num_images / frequency.get(ngram, 1)) for ngram, count in counts.items()}

    total = 0.0
    for reference in references:
        bigrams = max(len(candidate) - 1, 0) - max(len(reference) - 1, 0)
        for length in range(1, n + 1):
            own, other = vector(candidate, length), vector(reference, length)
            norm = math.sqrt(sum(v**2 for v in own.values())) * math.sqrt(sum(v**2 for v in other.values()))
            if not norm:
                continue
            if variant == 'CIDEr':
                total += sum(weight * other.get(ngram, 0) for ngram, weight in own.items()) / norm
            else:
                clipped = sum(min(weight, other.get(g, 0)) * other.get(g, 0) for g, weight in own.items())
                total += clipped / norm * math.exp(-(bigrams**2) / (2 * sigma**2))
    return 10 * total / n / len(references)


references_of_images = st.lists(st.lists(captions, min_size=1, max_size=3), min_size=1, max_size=4)


@pytest.mark.parametrize('variant', ['CIDEr', 'CIDEr-D'])
@given(references_of_images, references_of_images, st.data())
def test_scorer_equals_formulas(variant, known, scored, data):
    """Document frequencies of one set, captions and references of another, several captions an image."""
    drawn = st.lists(st.sampled_from('abcdxy'), max_size=8)
    images = data.draw(st.lists(st.integers(0, len(scored) - 1), max_size=5))
    candidates = [data.draw(drawn) for _ in images]
    frequency = document_frequency(known)
    expected = [
        slow_cider(caption, scored[image], frequency, len(known), variant)
        for caption, image in zip(candidates, images, strict=True)
    ]
    made = CiderScorer(known, variant=variant)
    given_counts = CiderScorer.from_frequencies(frequency, len(known), variant=variant)
    assert made(candidates, scored, images) == pytest.approx(expected, abs=1e-9)
    assert given_counts(candidates, scored, images) == pytest.approx(expected, abs=1e-9)


def test_plain_cider_neither_clips_nor_penalises():
    references = [[['a', 'b']], [['c', 'd']]]
    candidates = [['a', 'b', 'a', 'b', 'a', 'b'], ['c', 'd']]
    plain, robust = (cider(candidates, references, n=1, variant=variant) for variant in ('CIDEr', 'CIDEr-D'))
    assert plain == pytest.approx([10, 10])
    assert robust == pytest.approx([10 / 3 * math.exp(-16 / 72), 10])


def test_order_of_candidates_does_not_matter():
    candidates, references = golden_tokens()
    scorer = CiderScorer(references)
    images = np.random.default_rng(0).permutation(np.repeat(np.arange(len(candidates)), 3))
    scores = scorer([candidates[i] for i in images], references, images)
    assert scores == pytest.approx(np.array(golden()['cider'])[images], abs=1e-9)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: CiderScorer([]), 'no reference captions'),
        (lambda: CiderScorer([[['a']], []]), 'image 1 has no reference'),
        (lambda: CiderScorer([[['a']]], sigma=0), 'sigma=0'),
        (lambda: CiderScorer([[['a']]], n=0), 'n=0'),
        (lambda: CiderScorer([[['a']]], variant='D'), "variant='D'"),
        (lambda: CiderScorer.from_frequencies({('a', 'b'): 5}, 4), "'a b' occurs in 5 images of 4"),
        (lambda: CiderScorer([[['a']]])([['a']], [[['a']]], [0, 0]), '1 candidates, but images has the shape'),
        (lambda: CiderScorer([[['a']]])([['a']], [[['a']]], [1]), 'images must lie in 0..0, got 1..1'),
        (lambda: CiderScorer([[['a']]])([['a'], ['b']], [[['a']]]), '2 candidates for 1 images'),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
