"""Tokenizers that split rare words into pieces, by the library ``tokenizers``, which is imported when one is made."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmyolor_mtl.registry import TOKENIZERS
from mmyolor_mtl.utils.token_text import WORD_CONTINUED

from .base_tokenizer import SPECIAL_TOKENS, BaseTokenizer, read_vocabulary, tokens_or_lines

# BERT calls the start and the end of a sentence by other names.
_SPECIAL_NAMES = dict(pad=('[PAD]',), unk=('[UNK]',), bos=('[BOS]', '[CLS]'), eos=('[EOS]', '[SEP]'))
_HOW_BPE = 'build it with tools/misc/build_vocab.py --kind bpe'
# Half of a surrogate pair, as broken JSON files have it: no text to the library.
_SURROGATES = re.compile('[\ud800-\udfff]')


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError('WordPiece and BPE vocabularies need a package: pip install tokenizers') from error
    return tokenizers


def _clean(text: str) -> str:
    return ' '.join(_SURROGATES.sub(' ', text).split())


class _SubwordTokenizer(BaseTokenizer):
    """A tokenizer whose splitting is the library's."""

    def __init__(
        self,
        library_tokenizer: Any,
        tokens: Sequence[str],
        specials: Mapping[str, int],
        vocab_size: int | None,
        origin: str,
    ) -> None:
        super().__init__(tokens, specials, vocab_size, origin)
        self._tokenizer = library_tokenizer

    def _split(self, text: str) -> list[int]:
        return self._tokenizer.encode(_clean(text), add_special_tokens=False).ids


@TOKENIZERS.register_module()
class WordPieceTokenizer(_SubwordTokenizer):
    """BERT's tokenizer: punctuation stands alone, words are split into the longest pieces of the vocabulary.

    The vocabulary is BERT's ``vocab.txt``, GYOLO's (REFERENCE_SPEC 2.5) or one of your own: one token a line, id = line
    number from 0, blank lines included; of a repeated token the last line counts. Its special tokens are found by name:
    ``[PAD]``, ``[UNK]``, ``[BOS]`` or ``[CLS]``, and ``[EOS]`` or ``[SEP]``. A piece that continues a word begins with
    ``##``. A word that cannot be put together is unknown as a whole.

    Args:
        vocab_file (str | Path, optional): Vocabulary.
        vocab_size (int, optional): Size V that the caption head is built for, at least the number of lines; ids
            without a token decode to nothing. Defaults to the number of lines.
        lowercase (bool): Lower-case the text and strip its accents, as uncased vocabularies want it.
        tokens (Sequence[str], optional): The vocabulary itself, in place of ``vocab_file``.

    Raises:
        FileNotFoundError: ``vocab_file`` does not exist.
        ImportError: The package ``tokenizers`` is not installed.
        ValueError: A special token is missing, ``vocab_size`` is too small, or not exactly one of ``vocab_file`` and
            ``tokens`` is given.

    Examples:
        >>> words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'a', 'surf', '##board', 'cafe']
        >>> tokenizer = WordPieceTokenizer(tokens=words)
        >>> tokenizer.encode('A surfboard, a café')
        [2, 4, 5, 6, 1, 4, 7, 3]
        >>> tokenizer.decode([2, 4, 5, 6, 1, 4, 7, 3])
        'A surfboard a cafe'
    """

    join = 'word_pieces'

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        vocab_size: int | None = None,
        lowercase: bool = True,
        *,
        tokens: Sequence[str] | None = None,
    ) -> None:
        tokens, origin = tokens_or_lines(type(self).__name__, vocab_file, tokens, 'wordpiece')
        specials = _find_specials(tokens, origin)
        self.lowercase = lowercase
        ids = {token: i for i, token in enumerate(tokens)}
        library = _word_pieces(ids, tokens[specials['unk']], lowercase)
        super().__init__(library, tokens, specials, vocab_size, origin)
        if '[MASK]' in ids:
            self._silent.add(ids['[MASK]'])

    def state(self) -> dict[str, Any]:
        """Everything needed to rebuild it, in plain types."""
        return {**super().state(), 'lowercase': self.lowercase}

    @classmethod
    def build(cls, captions: Iterable[str], vocab_size: int, min_count: int = 1) -> 'WordPieceTokenizer':
        """Train the vocabulary on some captions; their order does not matter.

        Args:
            captions (Iterable[str]): Sentences.
            vocab_size (int): Most tokens, the special ones included.
            min_count (int): Rarer pairs of pieces are not joined.

        Raises:
            ImportError: The package ``tokenizers`` is not installed.
            ValueError: The letters of the captions alone need more tokens, or there are no words.
        """
        texts = [_clean(caption) for caption in captions]
        library = _word_pieces({'[UNK]': 0}, '[UNK]', True)
        letters: set[str] = set()
        for text in texts:
            words = library.pre_tokenizer.pre_tokenize_str(library.normalizer.normalize_str(text))
            letters.update(char for word, _ in words for char in word)
        if not letters:
            raise ValueError('the captions hold no words: give other caption files')
        # Left to itself the trainer numbers the continuing letters in an order that changes from run to run.
        fixed = [*SPECIAL_TOKENS, *sorted(letters), *sorted(WORD_CONTINUED + letter for letter in letters)]
        trained = _train(library, texts, vocab_size, min_count, fixed)
        return cls(tokens=sorted(trained.get_vocab(), key=trained.token_to_id))


@TOKENIZERS.register_module()
class BPETokenizer(_SubwordTokenizer):
    """Byte-level byte-pair encoding, as GPT-2's, on lower-case text.

    It writes any text, punctuation, emoji and all scripts included: nothing is unknown. The vocabulary file is JSON
    with ``tokens``, id = place in the list, ``[PAD]``, ``[UNK]``, ``[BOS]`` and ``[EOS]`` among them, and ``merges``,
    the pairs to join in order.

    Args:
        vocab_file (str | Path, optional): Vocabulary written by ``tools/misc/build_vocab.py`` or :meth:`save`.
        vocab_size (int, optional): Size V that the caption head is built for, at least the number of tokens; ids
            without a token decode to nothing. Defaults to the number of tokens.
        tokens (Sequence[str], optional): The tokens, with ``merges`` in place of ``vocab_file``.
        merges (Sequence[Sequence[str]], optional): The pairs.

    Raises:
        FileNotFoundError: ``vocab_file`` does not exist.
        ImportError: The package ``tokenizers`` is not installed.
        ValueError: The file has another form, a special token is missing, a merge names a token that does not exist,
            ``vocab_size`` is too small, or not exactly one of ``vocab_file`` and ``tokens`` is given.
    """

    join = 'byte_pairs'

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        vocab_size: int | None = None,
        *,
        tokens: Sequence[str] | None = None,
        merges: Sequence[Sequence[str]] | None = None,
    ) -> None:
        if (vocab_file is None) == (tokens is None) or (tokens is None) != (merges is None):
            raise ValueError('BPETokenizer takes exactly one of vocab_file, and tokens with merges')
        origin = 'tokens' if vocab_file is None else str(vocab_file)
        if vocab_file is not None:
            tokens, merges = _read_bpe(vocab_file)
        tokens, self._merges = list(tokens or ()), [tuple(pair) for pair in merges or ()]
        specials = _find_specials(tokens, origin)
        try:
            library = _byte_pairs({token: i for i, token in enumerate(tokens)}, self._merges)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f'{origin}: the merges do not fit the tokens: {error}') from error
        super().__init__(library, tokens, specials, vocab_size, origin)

    def _file_content(self) -> str:
        return json.dumps({'tokens': self._tokens, 'merges': self._merges}, ensure_ascii=False, indent=0) + '\n'

    def state(self) -> dict[str, Any]:
        """Everything needed to rebuild it, in plain types."""
        return {**super().state(), 'merges': [list(pair) for pair in self._merges]}

    @classmethod
    def build(cls, captions: Iterable[str], vocab_size: int, min_count: int = 1) -> 'BPETokenizer':
        """Train the vocabulary on some captions; their order does not matter.

        Args:
            captions (Iterable[str]): Sentences.
            vocab_size (int): Most tokens: 4 special ones, 256 bytes, and joined pairs.
            min_count (int): Rarer pairs are not joined.

        Raises:
            ImportError: The package ``tokenizers`` is not installed.
            ValueError: ``vocab_size`` is below 260.
        """
        texts = [_clean(caption) for caption in captions]
        library = _byte_pairs({}, [])
        fixed = [*SPECIAL_TOKENS, *sorted(library.pre_tokenizer.alphabet())]
        trained = _train(library, texts, vocab_size, min_count, fixed)
        return cls(
            tokens=sorted(trained.get_vocab(), key=trained.token_to_id),
            merges=json.loads(trained.to_str())['model']['merges'],
        )


def _word_pieces(ids: Mapping[str, int], unknown: str, lowercase: bool) -> Any:
    library = _library()
    tokenizer = library.Tokenizer(library.models.WordPiece(dict(ids), unk_token=unknown))
    tokenizer.normalizer = library.normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _byte_pairs(ids: Mapping[str, int], merges: Sequence[tuple[str, ...]]) -> Any:
    library = _library()
    tokenizer = library.Tokenizer(library.models.BPE(dict(ids), list(merges)))
    tokenizer.normalizer = library.normalizers.Sequence(
        [library.normalizers.NFC(), library.normalizers.Lowercase(), library.normalizers.NFC()]
    )
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
    return tokenizer


def _train(tokenizer: Any, texts: Sequence[str], vocab_size: int, min_count: int, fixed: Sequence[str]) -> Any:
    """Train the model of a tokenizer of the library; the ``fixed`` tokens come first."""
    if min_count < 1:
        raise ValueError(f'min_count={min_count} must be at least 1')
    if vocab_size < len(fixed):
        raise ValueError(f'vocab_size={vocab_size} is too small: special tokens and letters alone are {len(fixed)}')
    trainers = _library().trainers
    kind = {'WordPiece': trainers.WordPieceTrainer, 'BPE': trainers.BpeTrainer}[type(tokenizer.model).__name__]
    trainer = kind(vocab_size=vocab_size, min_frequency=min_count, special_tokens=list(fixed), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _find_specials(tokens: Sequence[str], origin: str) -> dict[str, int]:
    """Ids of the special tokens, by their names."""
    places = {token: i for i, token in enumerate(tokens)}
    found = {}
    for role, names in _SPECIAL_NAMES.items():
        name = next((name for name in names if name in places), None)
        if name is None:
            raise ValueError(f'{origin} has no token {" or ".join(names)}: build it with tools/misc/build_vocab.py')
        found[role] = places[name]
    return found


def _read_bpe(vocab_file: str | Path) -> tuple[list[str], list[list[str]]]:
    text = read_vocabulary(vocab_file, 'bpe')
    try:
        content = json.loads(text)
        tokens, merges = content['tokens'], content['merges']
        sound = all(isinstance(t, str) for t in tokens) and all(len(pair) == 2 for pair in merges)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{vocab_file} is no JSON with "tokens" and "merges" ({error!r}): {_HOW_BPE}') from error
    if not sound:
        raise ValueError(f'{vocab_file}: "tokens" must be strings and "merges" pairs: {_HOW_BPE}')
    return tokens, merges
