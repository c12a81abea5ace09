"""What all tokenizers have in common: ids, special tokens, files and the state kept in a checkpoint."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mmyolor_mtl.utils.token_text import JOINS, decode_ids

SPECIAL_TOKENS = ('[PAD]', '[UNK]', '[BOS]', '[EOS]')
Self = TypeVar('Self', bound='BaseTokenizer')


class BaseTokenizer(ABC):
    """Turns text into ids and back.

    A subclass says how a text is split (:meth:`_split`) and how tokens are joined (:attr:`join`).

    Args:
        tokens: All tokens in order of their ids.
        specials: Id of each of ``pad``, ``unk``, ``bos`` and ``eos``.
        vocab_size: Size V that the caption head is built for, at least the number of tokens; ids without a token
            decode to nothing. Defaults to the number of tokens.
        origin: Where the tokens come from, for messages.

    Attributes:
        join: Key of ``mmyolor_mtl.utils.token_text.JOINS``.
        pad_id: Padding.
        unk_id: Stands for what the vocabulary lacks.
        bos_id: Begins every sentence.
        eos_id: Ends every sentence.

    Raises:
        ValueError: ``vocab_size`` is too small.
    """

    join: ClassVar[str]

    def __init__(self, tokens: Sequence[str], specials: Mapping[str, int], vocab_size: int | None, origin: str) -> None:
        if vocab_size is not None and vocab_size < len(tokens):
            raise ValueError(
                f'vocab_size={vocab_size} is smaller than the {len(tokens)} tokens of {origin}: raise it, or '
                'build a smaller vocabulary with tools/misc/build_vocab.py --min-count or --vocab-size'
            )
        self._tokens = list(tokens)
        self._size = len(tokens) if vocab_size is None else int(vocab_size)
        self.pad_id, self.unk_id, self.bos_id, self.eos_id = (specials[k] for k in ('pad', 'unk', 'bos', 'eos'))
        self._silent = set(specials.values())

    @abstractmethod
    def _split(self, text: str) -> list[int]:
        """Ids of a text, without start and end."""

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
            text (str): Any text, empty and very long included.
            max_length (int, optional): Longest result T, start and end included; the tail of a longer sentence is cut
                and the end kept. At least 2.

        Returns:
            list[int]: ``bos, ..., eos``; what the vocabulary lacks becomes ``unk_id``.

        Raises:
            TypeError: ``text`` is no str.
            ValueError: ``max_length`` is below 2.
        """
        if max_length is not None and max_length < 2:
            raise ValueError(f'max_length={max_length} leaves no room for start and end: use at least 2')
        if not isinstance(text, str):
            raise TypeError(f'a caption must be a str, got {type(text).__name__}: {text!r}')
        ids = self._split(text)
        if max_length is not None:
            ids = ids[: max_length - 2]
        return [self.bos_id, *ids, self.eos_id]

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into a sentence that begins with a capital.

        Args:
            ids (Iterable[int]): Ids (list, array or 1-d tensor); what follows the first ``eos_id`` is dropped, special
                tokens and ids without a token too.

        Returns:
            str: The text; possibly empty.

        Raises:
            ValueError: An id is outside ``[0, V)``.
        """
        return decode_ids(
            ids,
            tokens=self._tokens,
            vocab_size=self._size,
            eos_id=self.eos_id,
            silent_ids=self._silent,
            join=JOINS[self.join],
        )

    def decoding_state(self) -> dict[str, Any]:
        """What :func:`mmyolor_mtl.utils.token_text.decode_ids` needs, ready for JSON; ``join`` is the key."""
        return {
            'join': self.join,
            'tokens': list(self._tokens),
            'vocab_size': self._size,
            'eos_id': self.eos_id,
            'silent_ids': sorted(self._silent),
        }

    def save(self, path: str | Path) -> None:
        """Write the vocabulary file that ``vocab_file`` reads."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f'{path.name}.part')
        draft.write_text(self._file_content(), encoding='utf-8', newline='\n')
        draft.replace(path)

    def _file_content(self) -> str:
        return '\n'.join(self._tokens) + '\n'

    def state(self) -> dict[str, Any]:
        """Everything needed to rebuild it, in plain types (for a checkpoint's ``meta``).

        It is a config as well: ``TOKENIZERS.build`` takes it.
        """
        return {'type': type(self).__name__, 'tokens': list(self._tokens), 'vocab_size': self._size}

    @classmethod
    def from_state(cls: type[Self], state: Mapping[str, Any]) -> Self:
        """Rebuild the tokenizer that :meth:`state` describes.

        Raises:
            ValueError: The state belongs to another tokenizer, or lacks ``tokens``.
        """
        if state.get('type') != cls.__name__ or 'tokens' not in state:
            raise ValueError(f'not the state of a {cls.__name__}: type={state.get("type")!r}, keys {sorted(state)}')
        return cls(**{key: value for key, value in state.items() if key != 'type'})


def read_vocabulary(vocab_file: str | Path, kind: str) -> str:
    """Content of a vocabulary file.

    Args:
        vocab_file: Its path.
        kind: What ``tools/misc/build_vocab.py`` calls the kind of vocabulary, for the message.

    Raises:
        FileNotFoundError: No such file; the message says how to make it.
        ValueError: It is not UTF-8.
    """
    path = Path(vocab_file)
    if not path.is_file():
        raise FileNotFoundError(
            f'vocabulary file {path} does not exist: make it with '
            f'"python tools/misc/build_vocab.py CAPTIONS.json --kind {kind} --out {path}"'
        )
    try:
        return path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'vocabulary file {path} is not UTF-8 text: {error}') from error


def tokens_or_lines(
    name: str, vocab_file: str | Path | None, tokens: Sequence[str] | None, kind: str
) -> tuple[list[str], str]:
    """Tokens of a tokenizer that is given either a file with one token a line, or the tokens.

    Args:
        name: Class of the tokenizer, for messages.
        vocab_file: Path of the file.
        tokens: The tokens.
        kind: As of :func:`read_vocabulary`.

    Returns:
        The tokens, and where they come from.

    Raises:
        ValueError: Both or neither are given.
    """
    if (vocab_file is None) == (tokens is None):
        raise ValueError(f'{name} takes exactly one of vocab_file and tokens')
    if vocab_file is None:
        return list(tokens or ()), 'tokens'
    return read_vocabulary(vocab_file, kind).removesuffix('\n').split('\n'), str(vocab_file)
