"""Tokenizers, vocabularies and text generation; nothing here needs torch to be imported."""

from .subword_tokenizer import BPETokenizer, WordPieceTokenizer
from .tokenizer import WordTokenizer, split_words

__all__ = ['BPETokenizer', 'WordPieceTokenizer', 'WordTokenizer', 'split_words']
