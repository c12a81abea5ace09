import json
import pickle
import runpy
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.evaluation.functional import ptb_tokenize
from mmyolor_mtl.models.text import BPETokenizer, WordPieceTokenizer, WordTokenizer, split_words
from mmyolor_mtl.registry import TOKENIZERS

SPECIALS = ['[PAD]', '[UNK]', '[BOS]', '[EOS]']
CAPTIONS = ['A red dog runs.', 'The dog sees a cat!', "A cat's toy, red."]


@pytest.fixture
def tokenizer():
    return WordTokenizer.build(CAPTIONS)


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ("A dog's bone, isn't it?", ['a', 'dog', "'s", 'bone', 'is', "n't", 'it']),
        ('Two dogs’ bowls', ['two', 'dogs', 'bowls']),
        ('red,blue and (black/white) t-shirt -- "it" cannot', 'red blue and black white t-shirt it can not'),
        ('3,000 men at 5 p.m. in the U.S.', ['3,000', 'men', 'at', '5', 'p.m', 'in', 'the', 'u.s']),
        ('A man.A woman...', ['a', 'man', 'a', 'woman']),
        ('😀❤️ café CAFE\u0301', ['café', 'café']),
        ('हिन्दी', ['हिन्दी']),
        ('B&B & $2.50', ['b&b', '2.50']),
        ('', []),
        (' ... ?! \n', []),
    ],
)
def test_split_words(text, words):
    words = words.split() if isinstance(words, str) else words
    assert split_words(text) == words


@given(st.text(max_size=100))
def test_split_words_of_any_text(text):
    words = split_words(text)
    for word in words:
        assert word
        assert not any(c.isspace() for c in word)
        assert any(c.isalnum() for c in word)
    assert split_words(' '.join(words)) == words


def test_split_words_agrees_with_the_scores():
    """A caption that the head could write perfectly must be able to score perfectly."""
    captions = [
        "A man's hat isn't on the wall.",
        'Two red, blue-green cubes stand beside a yellow cone in 2 rows!',
        "They're a dog and a cat; we cannot see the dogs' bowl.",
    ]
    tokenizer = WordTokenizer.build(captions)
    for caption in captions:
        written = tokenizer.decode(tokenizer.encode(caption))
        assert ptb_tokenize(written) == ptb_tokenize(caption)


def test_split_words_wants_text():
    with pytest.raises(TypeError, match='must be a str, got NoneType'):
        split_words(None)


@pytest.mark.parametrize('unit', ['a ', 'a', 'a.,', "n't", "'", '-', '😀'])
def test_time_is_linear(unit):
    start = time.perf_counter()
    split_words(unit * 50_000)
    assert time.perf_counter() - start < 5


def test_vocabulary_order(tokenizer):
    # Counts: a 3 times, cat, dog, red twice, the rest once; equals in alphabetical order.
    assert list(tokenizer.tokens) == [*SPECIALS, 'a', 'cat', 'dog', 'red', "'s", 'runs', 'sees', 'the', 'toy']
    assert WordTokenizer.build(reversed(CAPTIONS)).tokens == tokenizer.tokens
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2, 3)
    assert len(tokenizer) == 13


def test_min_count():
    assert list(WordTokenizer.build(CAPTIONS, min_count=2).tokens) == [*SPECIALS, 'a', 'cat', 'dog', 'red']
    with pytest.raises(ValueError, match='no word occurs 9 times'):
        WordTokenizer.build(CAPTIONS, min_count=9)
    with pytest.raises(ValueError, match='min_count=0'):
        WordTokenizer.build(CAPTIONS, min_count=0)


def test_encode(tokenizer):
    assert tokenizer.encode('A blue DOG runs!') == [2, 4, 1, 6, 9, 3]
    assert tokenizer.encode('') == [2, 3]
    assert tokenizer.encode('😀') == [2, 3]


def test_truncation_keeps_the_end(tokenizer):
    ids = tokenizer.encode('a dog ' * 100_000, max_length=5)
    assert ids == [2, 4, 6, 4, 3]
    assert tokenizer.encode('a dog', max_length=4) == [2, 4, 6, 3]
    assert tokenizer.encode('a dog', max_length=2) == [2, 3]
    with pytest.raises(ValueError, match='max_length=1 leaves no room'):
        tokenizer.encode('a dog', max_length=1)


def test_decode(tokenizer):
    assert tokenizer.decode([2, 4, 5, 8, 12, 1, 0, 3, 4, 4]) == "A cat's toy"
    assert tokenizer.decode([]) == ''
    assert tokenizer.decode([2, 3]) == ''
    assert tokenizer.decode([8, 4]) == "'s a"
    for bad in (-1, 13):
        with pytest.raises(ValueError, match=f'token id {bad} is outside the vocabulary of 13'):
            tokenizer.decode([bad])


def test_decode_takes_tensors(tokenizer):
    torch = pytest.importorskip('torch')
    assert tokenizer.decode(torch.tensor([2, 4, 6, 3])) == 'A dog'


@pytest.mark.parametrize('caption', CAPTIONS)
def test_round_trip(tokenizer, caption):
    assert split_words(tokenizer.decode(tokenizer.encode(caption))) == split_words(caption)


def test_vocab_size_leaves_room(tmp_path, tokenizer):
    path = tmp_path / 'vocab.txt'
    tokenizer.save(path)
    wide = WordTokenizer(path, vocab_size=100)
    assert len(wide) == 100
    assert wide.encode(CAPTIONS[0]) == tokenizer.encode(CAPTIONS[0])
    assert wide.decode([2, 4, 99, 6, 3]) == 'A dog'
    with pytest.raises(ValueError, match=f'vocab_size=12 is smaller than the 13 tokens of {path}'):
        WordTokenizer(path, vocab_size=12)


def test_file(tmp_path, tokenizer):
    path = tmp_path / 'deep' / 'vocab.txt'
    tokenizer.save(path)
    assert path.read_bytes().decode() == '\n'.join(tokenizer.tokens) + '\n'
    assert WordTokenizer(str(path)).tokens == tokenizer.tokens
    assert TOKENIZERS.build(dict(type='mmyolor_mtl.WordTokenizer', vocab_file=str(path))).tokens == tokenizer.tokens


def test_state_is_plain_and_complete(tokenizer):
    wide = WordTokenizer(tokens=tokenizer.tokens, vocab_size=50)
    state = json.loads(json.dumps(wide.state()))
    again = WordTokenizer.from_state(state)
    assert (again.tokens, len(again)) == (wide.tokens, 50)
    assert pickle.loads(pickle.dumps(wide)).encode(CAPTIONS[0]) == wide.encode(CAPTIONS[0])
    with pytest.raises(ValueError, match='not the state of a WordTokenizer'):
        WordTokenizer.from_state({'type': 'BertTokenizer', 'tokens': []})


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('a\ndog\n', r'must begin with the special tokens \[PAD\].*begins with \[.a., .dog.\].*build_vocab'),
        ('', 'must begin with the special tokens'),
        ('[PAD]\n[UNK]\n[BOS]\n[EOS]\na\n\ndog\n', r"line 6: token '' is blank"),
        ('[PAD]\n[UNK]\n[BOS]\n[EOS]\na\ndog\na\n', r"line 7: token 'a' stands on line 5 already"),
    ],
)
def test_bad_file(tmp_path, content, message):
    path = tmp_path / 'vocab.txt'
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        WordTokenizer(path)


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.txt does not exist: make it with .*tools/misc/build_vocab.py'):
        WordTokenizer(tmp_path / 'none.txt')


def test_one_source(tokenizer):
    with pytest.raises(ValueError, match='exactly one of'):
        WordTokenizer()
    with pytest.raises(ValueError, match='exactly one of'):
        WordTokenizer('vocab.txt', tokens=tokenizer.tokens)


@pytest.fixture
def build_vocab(repo_root):
    return runpy.run_path(str(repo_root / 'tools' / 'misc' / 'build_vocab.py'))['main']


def test_build_vocab_tool(build_vocab, tmp_path, capsys):
    files = []
    for name, captions in (('a', CAPTIONS[:1]), ('b', CAPTIONS[1:])):
        files.append(tmp_path / f'{name}.json')
        files[-1].write_text(json.dumps({'annotations': [{'image_id': 1, 'caption': c} for c in captions]}))
    build_vocab([*map(str, files), '--out', str(tmp_path / 'vocab.txt'), '--min-count', '2'])
    assert '8 tokens from 3 captions, 35.71% of the words unknown' in capsys.readouterr().out
    assert WordTokenizer(tmp_path / 'vocab.txt').tokens == WordTokenizer.build(CAPTIONS, min_count=2).tokens


@pytest.mark.parametrize(
    ('kind', 'size', 'cls'),
    [('word', 8, WordTokenizer), ('wordpiece', 60, WordPieceTokenizer), ('bpe', 270, BPETokenizer)],
)
def test_build_vocab_tool_kinds(build_vocab, tmp_path, kind, size, cls):
    if kind != 'word':
        pytest.importorskip('tokenizers')
    path, out = tmp_path / 'captions.json', tmp_path / 'vocab'
    path.write_text(json.dumps({'annotations': [{'image_id': 1, 'caption': c} for c in CAPTIONS]}))
    build_vocab([str(path), '--out', str(out), '--kind', kind, '--vocab-size', str(size)])
    assert cls(out).state() == cls.build(CAPTIONS, vocab_size=size).state()
    assert len(cls(out)) <= size
    first = out.read_bytes()
    build_vocab([str(path), '--out', str(out), '--kind', kind, '--vocab-size', str(size)])
    assert out.read_bytes() == first


def test_a_limited_vocabulary_keeps_the_most_frequent_words():
    assert list(WordTokenizer.build(CAPTIONS, vocab_size=6).tokens) == [*SPECIALS, 'a', 'cat']
    with pytest.raises(ValueError, match='vocab_size=4 has no room for words'):
        WordTokenizer.build(CAPTIONS, vocab_size=4)


@pytest.mark.parametrize(
    ('content', 'error', 'message'),
    [
        ('{', ValueError, 'captions.json is not valid JSON'),
        ('[]', ValueError, 'captions.json is no COCO caption file'),
        ('{"annotations": [{"id": 1}]}', ValueError, 'needs "annotations", each with a "caption"'),
        ('{"annotations": [{"caption": null}]}', ValueError, 'a caption must be text, got None'),
        (None, FileNotFoundError, 'captions.json does not exist'),
    ],
)
def test_build_vocab_tool_bad_input(build_vocab, tmp_path, content, error, message):
    path = tmp_path / 'captions.json'
    if content is not None:
        path.write_text(content)
    with pytest.raises(error, match=message):
        build_vocab([str(path), '--out', str(tmp_path / 'vocab.txt')])
    assert not (tmp_path / 'vocab.txt').exists()
