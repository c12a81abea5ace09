import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.evaluation.functional import cider, corpus_bleu, document_frequency, rouge_l

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
