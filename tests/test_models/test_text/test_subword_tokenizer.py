"""WordPiece and BPE: BERT's behaviour, training, files, and any text there is."""

import importlib
import json
import pickle
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.models.text import BPETokenizer, WordPieceTokenizer, WordTokenizer
from mmyolor_mtl.registry import TOKENIZERS

pytest.importorskip('tokenizers', reason='the package tokenizers is not installed')

CAPTIONS = [
    'A red dog runs on the beach.',
    "The dog's bone isn't here, is it?",
    'Two red, blue-green boxes! 😀',
    'Ein Café in München',
    'समुद्र तट पर कुत्ता',
    '海滩上的狗',
] * 2
# Places of the special tokens as in BERT's file; GYOLO's list has blank and repeated lines.
BERT = ['[PAD]', *(f'[unused{i}]' for i in range(99)), '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'surf', '##board', '.', 'a']
GYOLO = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', '', 'man', 'cafe', '', 'man', "'s", '\\n', '\\n']


def make(name):
    return {
        'word': lambda: WordTokenizer.build(CAPTIONS),
        'wordpiece': lambda: WordPieceTokenizer.build(CAPTIONS, vocab_size=180),
        'bpe': lambda: BPETokenizer.build(CAPTIONS, vocab_size=300),
        'bert': lambda: WordPieceTokenizer(tokens=BERT),
        'gyolo': lambda: WordPieceTokenizer(tokens=GYOLO, vocab_size=20),
        'cased': lambda: WordPieceTokenizer(tokens=GYOLO, lowercase=False),
    }[name]()


KINDS = ('word', 'wordpiece', 'bpe', 'bert', 'gyolo', 'cased')
TOKENIZERS_BUILT = {}


def built(name):
    if name not in TOKENIZERS_BUILT:
        TOKENIZERS_BUILT[name] = make(name)
    return TOKENIZERS_BUILT[name]


# All code points, halves of surrogate pairs too: JSON files hold them.
any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)


@pytest.mark.parametrize('kind', KINDS)
@settings(max_examples=60, deadline=None)
@given(text=any_text, max_length=st.integers(2, 30))
def test_any_text_becomes_ids(kind, text, max_length):
    tokenizer = built(kind)
    ids = tokenizer.encode(text)
    assert ids[0] == tokenizer.bos_id and ids[-1] == tokenizer.eos_id
    assert all(0 <= i < len(tokenizer) for i in ids)
    # A text cannot smuggle in what begins and ends sentences.
    assert not {tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id} & set(ids[1:-1])
    short = tokenizer.encode(text, max_length)
    assert short == (ids if len(ids) <= max_length else [*ids[: max_length - 1], tokenizer.eos_id])
    tokenizer.decode(ids).encode()


@pytest.mark.parametrize('kind', KINDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_ids_become_text(kind, data):
    tokenizer = built(kind)
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=30))
    text = tokenizer.decode(ids)
    text.encode()
    if tokenizer.eos_id in ids:
        assert text == tokenizer.decode(ids[: ids.index(tokenizer.eos_id)])
    for name in ('[PAD]', '[UNK]', '[CLS]', '[BOS]', '[SEP]', '[EOS]', '[MASK]'):
        assert name not in text


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('text', ['', ' \n\t', '[CLS] a [SEP] b [PAD]', 'a ' * 100_000, 'a' * 100_000, '😀' * 5_000])
def test_odd_and_very_long_texts(kind, text):
    tokenizer = built(kind)
    ids = tokenizer.encode(text, 20)
    assert ids[0] == tokenizer.bos_id and ids[-1] == tokenizer.eos_id and len(ids) <= 20
    if not text.strip():
        assert ids == [tokenizer.bos_id, tokenizer.eos_id]
    assert len(tokenizer.decode(ids)) < 100_001


@pytest.mark.parametrize('kind', KINDS)
def test_bad_input_is_an_error(kind):
    tokenizer = built(kind)
    with pytest.raises(TypeError, match='must be a str, got NoneType'):
        tokenizer.encode(None)
    with pytest.raises(ValueError, match='max_length=1'):
        tokenizer.encode('a', 1)
    for bad in (-1, len(tokenizer)):
        with pytest.raises(ValueError, match=f'token id {bad} is outside the vocabulary of {len(tokenizer)}'):
            tokenizer.decode([bad])


@pytest.mark.parametrize('kind', KINDS)
def test_file_state_and_pickle_give_the_same_tokenizer(kind, tmp_path):
    tokenizer = built(kind)
    tokenizer.save(tmp_path / 'deep' / 'vocab')
    assert [file.name for file in (tmp_path / 'deep').iterdir()] == ['vocab']
    extra = dict(lowercase=False) if kind == 'cased' else {}
    read = type(tokenizer)(tmp_path / 'deep' / 'vocab', vocab_size=len(tokenizer), **extra)
    state = json.loads(json.dumps(tokenizer.state()))
    others = [
        read,
        type(tokenizer).from_state(state),
        TOKENIZERS.build({'_scope_': 'mmyolor_mtl', **state}),
        pickle.loads(pickle.dumps(tokenizer)),
    ]
    for other in others:
        assert other.state() == tokenizer.state() and len(other) == len(tokenizer)
        for text in (*CAPTIONS, 'A Man'):
            assert other.encode(text) == tokenizer.encode(text)
            assert other.decode(tokenizer.encode(text)) == tokenizer.decode(tokenizer.encode(text))


def test_bert_s_ids_are_read_from_the_file():
    tokenizer = built('bert')
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 100, 101, 102)
    ids = tokenizer.encode('A Surfboard, surfs.')
    assert ids == [101, 107, 104, 105, 100, 100, 106, 102]
    assert tokenizer.decode(ids) == 'A surfboard.'
    assert tokenizer.decode([105, 103, 104]) == 'Board surf'


def test_gyolo_s_vocabulary_behaves_as_in_the_reference():
    """REFERENCE_SPEC 2.5: lower case, no accents, punctuation apart and unknown, ids are line numbers."""
    tokenizer = built('gyolo')
    # 'man' stands on two lines, of which the last counts; contractions never match after the split.
    assert tokenizer.encode("A CAFÉ's man.") == [2, 5, 8, 1, 1, 10, 1, 3]
    assert tokenizer.decode([2, 5, 10, 1, 3, 0, 0]) == 'A man'
    assert tokenizer.decode([6, 9, 19, 5]) == 'A'
    assert tokenizer.decode([7, 11]) == "Man's"
    assert len(tokenizer) == 20 and len(tokenizer.tokens) == 14


def test_released_vocabulary_of_gyolo(shared_dir):
    tokenizer = WordPieceTokenizer(shared_dir / 'parity' / 'gyolo_vocab.txt')
    assert len(tokenizer) == 10_202
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2, 3)
    ids = tokenizer.encode('A man riding a wave on top of a surfboard.')
    words = '[CLS] a man riding a wave on top of a surfboard [UNK] [SEP]'
    assert [tokenizer.tokens[i] for i in ids] == words.split()
    assert tokenizer.decode(ids) == 'A man riding a wave on top of a surfboard'


def test_cased_vocabulary_keeps_case_and_accents():
    tokenizer = WordPieceTokenizer(tokens=['[PAD]', '[UNK]', '[BOS]', '[EOS]', 'Café', 'cafe'], lowercase=False)
    assert tokenizer.encode('Café cafe CAFE') == [2, 4, 5, 1, 3]


@pytest.mark.parametrize('cls', [WordPieceTokenizer, BPETokenizer])
def test_training(cls):
    tokenizer = cls.build(CAPTIONS, vocab_size=300)
    assert tokenizer.tokens[:4] == ('[PAD]', '[UNK]', '[BOS]', '[EOS]')
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 1, 2, 3)
    assert 4 < len(tokenizer) <= 300 and len(set(tokenizer.tokens)) == len(tokenizer)
    for caption in CAPTIONS:
        assert tokenizer.unk_id not in tokenizer.encode(caption)
    # Frequent words are one token.
    assert len(tokenizer.encode('red dog')) == 4
    assert cls.build(reversed(CAPTIONS), vocab_size=300).state() == tokenizer.state()
    assert len(cls.build(CAPTIONS, 300, min_count=50)) < len(tokenizer)
    with pytest.raises(ValueError, match='vocab_size=20 is too small'):
        cls.build(CAPTIONS, vocab_size=20)
    with pytest.raises(ValueError, match='min_count=0'):
        cls.build(CAPTIONS, vocab_size=300, min_count=0)


def test_bpe_gives_back_any_text_in_lower_case():
    tokenizer = built('bpe')
    for text in (*CAPTIONS, "n't 漢字 ﷽ 👨‍👩‍👧", 'x.,!? "y"'):
        assert tokenizer.decode(tokenizer.encode(text)).lower() == ' '.join(text.lower().split())


def test_wordpiece_without_words():
    with pytest.raises(ValueError, match='no words'):
        WordPieceTokenizer.build(['', ' '], vocab_size=100)


def test_training_is_the_same_in_another_process():
    """The library's trainer takes an order from tables that are seeded anew in each process."""
    code = (
        'import json; from mmyolor_mtl.models.text import BPETokenizer, WordPieceTokenizer\n'
        f'print(json.dumps([cls.build({CAPTIONS!r}, 300).state() for cls in (WordPieceTokenizer, BPETokenizer)]))'
    )
    there = json.loads(
        subprocess.check_output([sys.executable, '-W', 'ignore', '-c', code], text=True).splitlines()[-1]
    )
    assert there == [cls.build(CAPTIONS, 300).state() for cls in (WordPieceTokenizer, BPETokenizer)]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('[PAD]\n[UNK]\n[CLS]\na\n', r'has no token \[EOS\] or \[SEP\]'),
        ('a\nb\n', r'has no token \[PAD\]'),
        (b'\xff\xfe[PAD]', 'is not UTF-8 text'),
    ],
)
def test_bad_wordpiece_file(tmp_path, content, message):
    path = tmp_path / 'vocab.txt'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f'vocab.txt {message}'):
        WordPieceTokenizer(path)


SPECIALS = ['[PAD]', '[UNK]', '[BOS]', '[EOS]']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('[PAD]\n', 'is no JSON with "tokens" and "merges".*--kind bpe'),
        ('{"tokens": []}', 'is no JSON with'),
        ('[]', 'is no JSON with'),
        ('{"tokens": [1], "merges": []}', '"tokens" must be strings'),
        ('{"tokens": ["a"], "merges": ["abc"]}', 'and "merges" pairs'),
        ('{"tokens": ["a"], "merges": []}', r'has no token \[PAD\]'),
        (json.dumps({'tokens': [*SPECIALS, 'a'], 'merges': [['a', 'b']]}), 'the merges do not fit the tokens'),
    ],
)
def test_bad_bpe_file(tmp_path, content, message):
    path = tmp_path / 'bpe.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=f'bpe.json.*{message}'):
        BPETokenizer(path)


def test_missing_file_says_what_to_do(tmp_path):
    for cls, kind in ((WordPieceTokenizer, 'wordpiece'), (BPETokenizer, 'bpe')):
        with pytest.raises(
            FileNotFoundError, match=f'none does not exist: make it with .*build_vocab.py.*--kind {kind}'
        ):
            cls(tmp_path / 'none')
        with pytest.raises(ValueError, match='exactly one of'):
            cls()


def test_vocab_size_too_small():
    with pytest.raises(ValueError, match='vocab_size=5 is smaller than the 14 tokens'):
        WordPieceTokenizer(tokens=GYOLO, vocab_size=5)


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, 'tokenizers', None)
    module = importlib.import_module('mmyolor_mtl.models.text.subword_tokenizer')
    with pytest.raises(ImportError, match='pip install tokenizers'):
        module.WordPieceTokenizer(tokens=GYOLO)
    assert WordTokenizer.build(CAPTIONS).encode('dog')
