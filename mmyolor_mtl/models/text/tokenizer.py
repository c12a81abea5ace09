"""Word-level tokenizer of the caption head: text to ids and back, and the vocabulary file behind it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmyolor_mtl.registry import TOKENIZERS
from mmyolor_mtl.utils.token_text import CLITICS

from .base_tokenizer import SPECIAL_TOKENS, BaseTokenizer, tokens_or_lines

# Signs that may stand inside a word; at its edges they are punctuation and go.
_JOINERS = "'-.,&"
_APOSTROPHES = str.maketrans({'’': "'", '‘': "'", '`': "'", '´': "'"})
_FUSED = {
    'cannot': ('can', 'not'),
    'gimme': ('gim', 'me'),
    'gonna': ('gon', 'na'),
    'gotta': ('got', 'ta'),
    'lemme': ('lem', 'me'),
    'wanna': ('wan', 'na'),
}
_ABBREVIATION = re.compile(r'[^\W\d_](\.[^\W\d_])+')  # u.s, a.m: letters with dots between (the last dot is stripped)
# A comma or dot holds a word together only between digits (3,000 and 2.5); 'red,blue' are two words.
_LOOSE_DOT = re.compile(r'(?<!\d)[.,]+|[.,]+(?!\d)')
_REPEATED = re.compile(r"-{2,}|'{2,}|&{2,}")
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)


def split_words(text: str) -> list[str]:
    """Split a sentence into lower-case words the way captions are scored.

    Unicode is normalised (NFC); punctuation, symbols and emoji go; clitics part from their word as in the Penn
    Treebank (``dog's`` gives ``dog 's``, ``don't`` gives ``do n't``); hyphens, ``&`` and digits' commas and dots stay.

    Args:
        text (str): Any text, empty and very long included.

    Returns:
        list[str]: Words in order, possibly none.
    """
    if not isinstance(text, str):
        raise TypeError(f'a caption must be a str, got {type(text).__name__}: {text!r}')
    text = unicodedata.normalize('NFC', text).translate(_APOSTROPHES).lower()
    # Lower-casing can decompose ('İ' becomes 'i' + dot above), so normalise once more.
    chars = (c if c in _JOINERS or _is_word_char(c) else ' ' for c in unicodedata.normalize('NFC', text))
    words: list[str] = []
    for chunk in _REPEATED.sub(' ', ''.join(chars)).split():
        bare = chunk.strip(_JOINERS)
        pieces = [bare] if _ABBREVIATION.fullmatch(bare) else _LOOSE_DOT.sub(' ', chunk).split()
        for piece in pieces:
            words.extend(_split_clitics(piece))
    return words


def _is_word_char(char: str) -> bool:
    if char.isalnum():
        return True
    # Combining marks belong to their letter (Hindi, Arabic, Thai); variation selectors and key caps are emoji parts.
    return unicodedata.category(char) in ('Mn', 'Mc') and ord(char) not in _VARIATION_SELECTORS


def _split_clitics(piece: str) -> list[str]:
    if piece in CLITICS:
        return [piece]
    word = piece.strip(_JOINERS)
    tail: list[str] = []
    end = len(word)
    while clitic := next((c for c in CLITICS if word.endswith(c, 0, end) and len(c) < end), None):
        tail.append(clitic)
        end -= len(clitic)
    word = word[:end].rstrip(_JOINERS)
    stem = list(_FUSED.get(word, (word,))) if any(map(str.isalnum, word)) else []
    return [*stem, *reversed(tail)]


@TOKENIZERS.register_module()
class WordTokenizer(BaseTokenizer):
    """Word tokenizer with a plain-text vocabulary: one token a line, id = line number from 0.

    The first four lines are the special tokens ``[PAD]``, ``[UNK]``, ``[BOS]``, ``[EOS]``.

    Args:
        vocab_file (str | Path, optional): Vocabulary written by ``tools/misc/build_vocab.py`` or :meth:`save`.
        vocab_size (int, optional): Size V that the caption head is built for, at least the number of tokens; ids
            without a token decode to nothing. Defaults to the number of tokens.
        tokens (Sequence[str], optional): The vocabulary itself, in place of ``vocab_file``.

    Raises:
        FileNotFoundError: ``vocab_file`` does not exist.
        ValueError: The special tokens are not the first four, a token is blank or repeated, ``vocab_size`` is too
            small, or not exactly one of ``vocab_file`` and ``tokens`` is given.

    Examples:
        >>> tokenizer = WordTokenizer.build(['A dog runs.', "A dog's bone"])
        >>> tokenizer.encode('a dog sleeps')
        [2, 4, 5, 1, 3]
        >>> tokenizer.decode([2, 4, 5, 6, 3])
        "A dog's"
    """

    join = 'words'

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        vocab_size: int | None = None,
        *,
        tokens: Sequence[str] | None = None,
    ) -> None:
        tokens, origin = tokens_or_lines(type(self).__name__, vocab_file, tokens, 'word')
        _check_tokens(tokens, origin)
        super().__init__(tokens, dict(pad=0, unk=1, bos=2, eos=3), vocab_size, origin)
        self._ids = {token: i for i, token in enumerate(tokens)}

    def _split(self, text: str) -> list[int]:
        return [self._ids.get(word, self.unk_id) for word in split_words(text)]

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int = 1, vocab_size: int | None = None) -> 'WordTokenizer':
        """Build the vocabulary of some captions: most frequent words first, equals in alphabetical order.

        Args:
            captions (Iterable[str]): Sentences.
            min_count (int): Rarer words are left out and encode as unknown.
            vocab_size (int, optional): Most tokens, the special ones included; the most frequent words stay.

        Raises:
            ValueError: ``min_count`` is below 1, or no word is left.
        """
        if min_count < 1:
            raise ValueError(f'min_count={min_count} must be at least 1')
        if vocab_size is not None and vocab_size <= len(SPECIAL_TOKENS):
            raise ValueError(
                f'vocab_size={vocab_size} has no room for words beside {len(SPECIAL_TOKENS)} special tokens'
            )
        counts: Counter[str] = Counter()
        for caption in captions:
            counts.update(split_words(caption))
        words = sorted((w for w, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))
        if not words:
            raise ValueError(f'no word occurs {min_count} times: give more captions, or a lower min_count')
        return cls(tokens=[*SPECIAL_TOKENS, *words][:vocab_size])


def _check_tokens(tokens: Sequence[str], origin: str) -> None:
    if tuple(tokens[: len(SPECIAL_TOKENS)]) != SPECIAL_TOKENS:
        raise ValueError(
            f'{origin} must begin with the special tokens {", ".join(SPECIAL_TOKENS)}, but begins with '
            f'{list(tokens[: len(SPECIAL_TOKENS)])}: build it with tools/misc/build_vocab.py'
        )
    seen: dict[str, int] = {}
    for line, token in enumerate(tokens, start=1):
        if not token.strip() or token != token.strip():
            raise ValueError(f'{origin}, line {line}: token {token!r} is blank or has spaces around it')
        if token in seen:
            raise ValueError(f'{origin}, line {line}: token {token!r} stands on line {seen[token]} already')
        seen[token] = line
