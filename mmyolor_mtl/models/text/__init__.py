"""Tokenizers, vocabularies and text generation. Importing this package loads no torch."""

from .tokenizer import WordTokenizer, split_words

__all__ = ['WordTokenizer', 'split_words']
