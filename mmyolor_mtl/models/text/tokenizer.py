"""Word-level tokenizer of the caption head: text to ids and back, and the vocabulary file behind it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmyolor_mtl.registry import TOKENIZERS

SPECIAL_TOKENS = ('[PAD]', '[UNK]', '[BOS]', '[EOS]')

# Signs that may stand inside a word; at its edges they are punctuation and go.
_JOINERS = "'-.,&"
_APOSTROPHES = str.maketrans({'’': "'", '‘': "'", '`': "'", '´': "'"})
_CLITICS = ("'s", "n't", "'re", "'ve", "'ll", "'d", "'m")
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
    if piece in _CLITICS:
        return [piece]
    word = piece.strip(_JOINERS)
    tail: list[str] = []
    end = len(word)
    while clitic := next((c for c in _CLITICS if word.endswith(c, 0, end) and len(c) < end), None):
        tail.append(clitic)
        end -= len(clitic)
    word = word[:end].rstrip(_JOINERS)
    stem = list(_FUSED.get(word, (word,))) if any(map(str.isalnum, word)) else []
    return [*stem, *reversed(tail)]


@TOKENIZERS.register_module()
class WordTokenizer:
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

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        vocab_size: int | None = None,
        *,
        tokens: Sequence[str] | None = None,
    ) -> None:
        if (vocab_file is None) == (tokens is None):
            raise ValueError('WordTokenizer takes exactly one of vocab_file and tokens')
        origin = 'tokens' if vocab_file is None else str(vocab_file)
        self._tokens = _read_vocab(vocab_file) if vocab_file is not None else list(tokens or ())
        _check_tokens(self._tokens, origin)
        if vocab_size is not None and vocab_size < len(self._tokens):
            raise ValueError(
                f'vocab_size={vocab_size} is smaller than the {len(self._tokens)} tokens of {origin}: raise it, or '
                'build a smaller vocabulary with tools/misc/build_vocab.py --min-count'
            )
        self._size = len(self._tokens) if vocab_size is None else int(vocab_size)
        self._ids = {token: i for i, token in enumerate(self._tokens)}
        self.pad_id, self.unk_id, self.bos_id, self.eos_id = range(len(SPECIAL_TOKENS))

    def __len__(self) -> int:
        """Vocabulary size V, places without a token included."""
        return self._size

    def __repr__(self) -> str:
        return f'{type(self).__name__}(tokens={len(self._tokens)}, vocab_size={self._size})'

    @property
    def tokens(self) -> tuple[str, ...]:
        """All tokens in order of their ids, the special ones included."""
        return tuple(self._tokens)

    def encode(self, text: str, max_length: int | None = None) -> list[int]:
        """Turn a sentence into ids.

        Args:
            text (str): Any text.
            max_length (int, optional): Longest result T, start and end included; the tail of a longer sentence is cut
                and the end kept. At least 2.

        Returns:
            list[int]: ``bos, words..., eos``; unknown words become ``unk_id``.

        Raises:
            ValueError: ``max_length`` is below 2.
        """
        if max_length is not None and max_length < 2:
            raise ValueError(f'max_length={max_length} leaves no room for start and end: use at least 2')
        ids = [self._ids.get(word, self.unk_id) for word in split_words(text)]
        if max_length is not None:
            ids = ids[: max_length - 2]
        return [self.bos_id, *ids, self.eos_id]

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into a sentence that begins with a capital.

        Args:
            ids (Iterable[int]): Ids (list, array or 1-d tensor); what follows the first ``eos_id`` is dropped, special
                tokens and ids without a token too.

        Returns:
            str: Words with spaces between, clitics joined to their word; possibly empty.

        Raises:
            ValueError: An id is outside ``[0, V)``.
        """
        text = ''
        for number in ids:
            i = int(number)
            if not 0 <= i < self._size:
                raise ValueError(f'token id {i} is outside the vocabulary of {self._size}')
            if i == self.eos_id:
                break
            if i < len(SPECIAL_TOKENS) or i >= len(self._tokens):
                continue
            token = self._tokens[i]
            text += token if not text or token in _CLITICS else f' {token}'
        return text[:1].upper() + text[1:]

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int = 1) -> 'WordTokenizer':
        """Build the vocabulary of some captions: most frequent words first, equals in alphabetical order.

        Args:
            captions (Iterable[str]): Sentences.
            min_count (int): Rarer words are left out and encode as unknown.

        Raises:
            ValueError: ``min_count`` is below 1, or no word is left.
        """
        if min_count < 1:
            raise ValueError(f'min_count={min_count} must be at least 1')
        counts: Counter[str] = Counter()
        for caption in captions:
            counts.update(split_words(caption))
        words = sorted((w for w, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))
        if not words:
            raise ValueError(f'no word occurs {min_count} times: give more captions, or a lower min_count')
        return cls(tokens=[*SPECIAL_TOKENS, *words])

    def save(self, path: str | Path) -> None:
        """Write the vocabulary file, one token a line."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(self._tokens) + '\n', encoding='utf-8', newline='\n')

    def state(self) -> dict[str, Any]:
        """Everything needed to rebuild it, in plain types (for a checkpoint's ``meta``)."""
        return {'type': type(self).__name__, 'tokens': list(self._tokens), 'vocab_size': self._size}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> 'WordTokenizer':
        """Rebuild the tokenizer that :meth:`state` describes.

        Raises:
            ValueError: The state belongs to another tokenizer, or lacks ``tokens``.
        """
        if state.get('type') != cls.__name__ or 'tokens' not in state:
            raise ValueError(f'not the state of a {cls.__name__}: type={state.get("type")!r}, keys {sorted(state)}')
        return cls(tokens=list(state['tokens']), vocab_size=state.get('vocab_size'))


def _read_vocab(vocab_file: str | Path) -> list[str]:
    path = Path(vocab_file)
    if not path.is_file():
        raise FileNotFoundError(
            f'vocabulary file {path} does not exist: make it with '
            f'"python tools/misc/build_vocab.py CAPTIONS.json --out {path}"'
        )
    return path.read_text(encoding='utf-8').removesuffix('\n').split('\n')


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
