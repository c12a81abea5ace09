import json
import time
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.evaluation.functional import JavaUnavailableError, java_tokenize, ptb_tokenize
from mmyolor_mtl.evaluation.functional.ptb_tokenize import PUNCTUATION, _apply_rules, _split_plain

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


def test_real_captions_equal_official_tokenizer(shared_dir):
    """All captions of mini_coco, through Java where it is there."""
    captions = [
        annotation['caption']
        for path in sorted((shared_dir / 'mini_coco' / 'annotations').glob('captions_*.json'))
        for annotation in json.loads(path.read_text())['annotations']
    ]
    assert len(captions) > 1000
    try:
        expected = java_tokenize(captions)
    except JavaUnavailableError as error:
        pytest.skip(str(error))
    wrong = [c for c, tokens in zip(captions, expected, strict=True) if ptb_tokenize(c) != tokens]
    assert len(wrong) <= 0.005 * len(captions), wrong


_WORDS = [
    "man's",
    'A',
    'dogs',
    'Cannot',
    'gonna',
    'can-not',
    'old-fashioned',
    'St',
    'No',
    'U',
    "it's",
    "don't",
    's',
    'd',
]
_GAPS = [' ', '  ', ', ', ',', ' , ', '-', '']


@given(
    st.lists(st.tuples(st.sampled_from(_WORDS), st.sampled_from(_GAPS)), max_size=6),
    st.sampled_from(['', '.', ' .', '. ', ',', '..']),
)
def test_plain_captions_need_no_rules(parts, end):
    caption = ''.join(word + gap for word, gap in parts) + end
    assert _split_plain(caption) in (None, _apply_rules(caption))


def test_most_captions_are_plain():
    assert _split_plain("A man's old-fashioned hat, on the wall.") is not None
    assert _split_plain('A dog on Main St.') is None
