"""Tokenizers, vocabularies and text generation; nothing here needs torch to be imported."""

from .tokenizer import WordTokenizer, split_words

__all__ = ['WordTokenizer', 'split_words']
