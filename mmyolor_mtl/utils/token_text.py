"""From token ids to a sentence, in plain Python: tokenizers and exported networks share it."""

from collections.abc import Callable, Collection, Iterable, Sequence

CLITICS = ("'s", "n't", "'re", "'ve", "'ll", "'d", "'m")
WORD_CONTINUED = '##'
# Blanks that splitting put before signs and endings, in BERT's order.
_CLEAN_UP = {
    ' .': '.',
    ' ?': '?',
    ' !': '!',
    ' ,': ',',
    " ' ": "'",
    " n't": "n't",
    " 'm": "'m",
    ' do not': " don't",
    " 's": "'s",
    " 've": "'ve",
    " 're": "'re",
}


def decode_ids(
    ids: Iterable[int],
    *,
    tokens: Sequence[str],
    vocab_size: int,
    eos_id: int,
    silent_ids: Collection[int],
    join: Callable[[Sequence[str]], str],
) -> str:
    """Turn ids into a sentence that begins with a capital.

    Args:
        ids (Iterable[int]): Ids (list, array or 1-d tensor); what follows the first ``eos_id`` is dropped, silent ones
            and ids without a token too.
        tokens (Sequence[str]): All tokens in order of their ids.
        vocab_size (int): Vocabulary V, at least the number of tokens.
        eos_id (int): Ends a sentence.
        silent_ids (Collection[int]): Special tokens.
        join (Callable): One of :data:`JOINS`.

    Raises:
        ValueError: An id is outside ``[0, V)``.
    """
    words = []
    for number in ids:
        i = int(number)
        if not 0 <= i < vocab_size:
            raise ValueError(f'token id {i} is outside the vocabulary of {vocab_size}')
        if i == eos_id:
            break
        if i not in silent_ids and i < len(tokens):
            words.append(tokens[i])
    text = join(words)
    return text[:1].upper() + text[1:]


def join_words(tokens: Sequence[str]) -> str:
    """Words with blanks between, clitics without: ``dog 's`` gives ``dog's``."""
    text = ''
    for token in tokens:
        text += token if not text or token in CLITICS else f' {token}'
    return text


def join_word_pieces(tokens: Sequence[str]) -> str:
    """BERT's pieces: ``##`` continues a word, and signs stand close to it."""
    text = ''
    for i, token in enumerate(tokens):
        piece = token if i == 0 else token[2:] if token.startswith(WORD_CONTINUED) else f' {token}'
        for apart, close in _CLEAN_UP.items():
            piece = piece.replace(apart, close)
        text += piece
    # Seen token by token as above, an apostrophe between two words is never close to both.
    return ' '.join(text.split()).replace(" ' ", "'").removeprefix(WORD_CONTINUED)


def join_byte_pairs(tokens: Sequence[str]) -> str:
    """GPT-2's byte-level tokens, in which every byte is written as a printable letter."""
    bytes_ = b''.join(
        bytes(_BYTES[c] for c in token) if all(c in _BYTES for c in token) else token.encode('utf-8', 'replace')
        for token in tokens
    )
    return ' '.join(bytes_.decode('utf-8', 'replace').split())


def _letters_of_bytes() -> dict[str, int]:
    printable = [*range(ord('!'), ord('~') + 1), *range(ord('¡'), ord('¬') + 1), *range(ord('®'), ord('ÿ') + 1)]
    letters = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in set(printable))
    return {**letters, **{chr(256 + i): byte for i, byte in enumerate(others)}}


_BYTES = _letters_of_bytes()
# Names by which an exported network says how its tokens are joined.
JOINS: dict[str, Callable[[Sequence[str]], str]] = {
    'words': join_words,
    'word_pieces': join_word_pieces,
    'byte_pairs': join_byte_pairs,
}
