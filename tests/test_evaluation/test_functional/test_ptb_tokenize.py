import json
import time
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.evaluation.functional import ptb_tokenize
from mmyolor_mtl.evaluation.functional.ptb_tokenize import PUNCTUATION

from ..helpers import golden


@pytest.mark.parametrize(('caption', 'tokens'), golden()['tokens'])
def test_equals_official_on_oddities(caption, tokens):
    assert ' '.join(ptb_tokenize(caption)) == tokens


def test_equals_official_on_captions():
    data = golden()
    captions = [*data['candidates'], *(c for refs in data['references'] for c in refs)]
    tokens = [*data['tokenized_candidates'], *(c for refs in data['tokenized_references'] for c in refs)]
    assert [' '.join(ptb_tokenize(c)) for c in captions] == tokens


def test_equals_official_on_coco(shared_dir):
    parity = shared_dir / 'parity'
    scores = json.loads((parity / 'fakecap126_scores.json').read_text())
    captions = defaultdict(list)
    for annotation in json.loads((parity / 'fakecap126_gt.json').read_text())['annotations']:
        captions[str(annotation['image_id'])].append(annotation['caption'])
    pairs = [pair for key, refs in scores['tokenized_gts'].items() for pair in zip(captions[key], refs, strict=True)]
    for result in json.loads((parity / 'fakecap126_results.json').read_text()):
        pairs.append((result['caption'], scores['tokenized_res'][str(result['image_id'])][0]))
    assert len(pairs) > 700
    wrong = [(caption, tokens) for caption, tokens in pairs if ' '.join(ptb_tokenize(caption)) != tokens]
    assert len(wrong) <= 0.005 * len(pairs), wrong


@given(st.text(max_size=200))
def test_any_text(text):
    for token in ptb_tokenize(text):
        assert token
        assert token == token.lower()
        assert token not in PUNCTUATION
        assert not any(char.isspace() for char in token)
        assert not any('\ue000' <= char <= '\ue00f' for char in token)


@pytest.mark.parametrize('unit', ['a', 'a.', "'", '@', 'a@', 'x-', '. ', '"', '?!', '😀'])
def test_time_is_linear(unit):
    start = time.perf_counter()
    ptb_tokenize(unit * 20_000)
    assert time.perf_counter() - start < 5  # a quadratic rule takes minutes


def test_line_breaks_are_spaces():
    assert ptb_tokenize('a dog\nruns\t fast\n') == ['a', 'dog', 'runs', 'fast']
