"""Joining tokens: what the library ``tokenizers`` does, without it."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, pre_tokenizers

from mmyolor_mtl.utils.token_text import JOINS, decode_ids, join_byte_pairs, join_word_pieces, join_words

PIECES = ['a', 'dog', "'", 's', "n't", '##ing', '##s', '.', ',', '!', 'do', 'not', "'ve", '##', '###x', 'café', 'x . y']
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


@given(st.lists(st.sampled_from(PIECES), max_size=12))
@settings(max_examples=300, deadline=None)
def test_word_pieces_as_the_library(tokens):
    library = ' '.join(decoders.WordPiece(prefix='##', cleanup=True).decode(tokens).split())
    # Its clean-up sees one token at a time and misses the apostrophe, which BERT's own joins.
    assert join_word_pieces(tokens) == library.replace(" ' ", "'").removeprefix('##')


@given(st.lists(st.one_of(st.text(BYTES, max_size=6), st.text(max_size=4)), max_size=8))
@settings(max_examples=300, deadline=None)
def test_byte_pairs_as_the_library(tokens):
    assert join_byte_pairs(tokens) == ' '.join(decoders.ByteLevel().decode(tokens).split())


@given(st.text(max_size=40))
def test_bytes_come_back_as_text(text):
    assert len(BYTES) == 256
    words = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    letters = [letter for word, _ in words for letter in word]
    assert join_byte_pairs(letters) == ' '.join(text.split())


def test_clitics_stand_close():
    assert join_words(['a', 'dog', "'s", 'bone']) == "a dog's bone" and join_words(["'s"]) == "'s"


def test_decode_ids():
    rules = dict(tokens=['[PAD]', '[EOS]', 'a', 'dog'], vocab_size=6, eos_id=1, silent_ids=[0], join=JOINS['words'])
    assert decode_ids([0, 2, 5, 3, 1, 2], **rules) == 'A dog'
