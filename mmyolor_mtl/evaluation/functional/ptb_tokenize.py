"""COCO's caption tokenisation without Java.

The official toolkit runs Stanford's PTB tokenizer with ``-lowerCase`` and then drops a fixed list of punctuation. Here
NLTK's Treebank tokenizer (which needs no NLTK data) does the main work; the rules around it are those in which the two
differ on captions.
"""

import re
from collections.abc import Callable

from nltk.tokenize import TreebankWordTokenizer

# COCO's list. It is compared after lower-casing, so the brackets' names (now '-lrb-') pass: a quirk that scores keep.
PUNCTUATION = frozenset(
    ["''", "'", '``', '`', '-LRB-', '-RRB-', '-LCB-', '-RCB-', '.', '?', '!', ',', ':', '-', '--', '...', ';']
)

# Words that keep their dot wherever they stand, and those that keep it only with a capital, or before a number.
_ABBREVIATION_LIST = """
    st ave blvd rd mt ft mr mrs ms dr jr sr prof rev gen col gov sen rep sgt capt lt maj cpl inc co corp ltd bros dept
    univ assn etc vs al est tel jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri sq ct
    ste bldg calif fla ariz conn mich minn penn tenn va vt wis okla md mo nev ga colo ala ind kan ky neb hon pres supt
    insp det msgr ph.d pa messrs adm cmdr esq pty bhd pvt cf
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
_CAPITAL_ABBREVIATIONS = frozenset(['Mass', 'Tex', 'Ill', 'Wash', 'Ore', 'La', 'Del', 'Ark', 'Miss'])
_BEFORE_NUMBER = frozenset(['no', 'nos', 'fig', 'pp', 'art', 'op'])
_ACRONYM = re.compile(r'[A-Za-z](\.[A-Za-z])*')  # one letter, or letters with dots between: 'b.', 'u.s.'

# Stand-ins from the private use area keep a sign away from the Treebank rules; they turn back at the end.
_HIDDEN = {
    ':': '\ue007',
    '.': '\ue000',
    '?': '\ue001',
    '!': '\ue002',
    '#': '\ue003',
    '@': '\ue004',
    '&': '\ue005',
    "'": '\ue006',
    '(': '\ue008',
    ')': '\ue009',
    '-': '\ue00a',
    '<': '\ue00b',
    '>': '\ue00c',
    ';': '\ue00d',
}
_NAMES = {'(': '-lrb-', ')': '-rrb-'}
_SHOW = str.maketrans({hidden: _NAMES.get(sign, sign) for sign, hidden in _HIDDEN.items()})
_HIDE = str.maketrans(_HIDDEN)

_SIGNS = str.maketrans(
    {
        '“': '"',
        '”': '"',
        '‘': ' ` ',
        '’': "'",
        '`': ' ` ',
        '–': ' -- ',
        '—': ' -- ',
        '…': ' ... ',
        '½': ' 1/2 ',
        '¼': ' 1/4 ',
        '¾': ' 3/4 ',
        '€': ' $ ',
        '£': ' # ',
        '¢': ' cents ',
    }
)


def _hide(match: re.Match[str]) -> str:
    return match.group().translate(_HIDE)


def _hide_apart(match: re.Match[str]) -> str:
    return f' {match.group().translate(_HIDE)} '


def _end_of_word(match: re.Match[str]) -> str:
    """A dot after a word: part of an abbreviation, or a full stop."""
    word, following = match.groups()
    keep = (
        following in (',', ':', ';')  # no sentence ends before these
        or (following is not None and _last_part(word).lower() in _BEFORE_NUMBER)
        or _is_abbreviation(word)
    )
    return f'{word}\ue000 ' if keep else f'{word} . '


def _dots(match: re.Match[str]) -> str:
    """Several dots: the first belongs to an abbreviation before them."""
    word = match.group(1)
    return f'{word}\ue000 . ' if _is_abbreviation(word) else f'{word} ... '


def _is_abbreviation(word: str) -> bool:
    last = _last_part(word)
    return (
        last.lower() in _ABBREVIATIONS
        or last in _CAPITAL_ABBREVIATIONS
        or (_ACRONYM.fullmatch(last) is not None and not re.search(r'\d-.$', word))  # but '3-D.'
    )


def _last_part(word: str) -> str:
    return re.split('[-&]', word)[-1]


_LONG_RUN = re.compile(r'\S{200}')  # no word is that long; cutting such a run keeps the rules' time linear

_RULES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile('[\ue000-\uf8ff\U00010000-\U0010ffff]'), ' '),  # emoji are not tokens (and the stand-ins are ours)
    (re.compile(r'[*^~=|\\°™®©•¿]+'), r' \g<0> '),
    (re.compile(r'-{2,}'), ' -- '),
    (re.compile(r'(?<!\S)-(?=[^\W\d])|(?<=\w)-(?!\S)'), ' - '),
    (re.compile(r'(?<!\S)[:;]-?[()](?=\s|[.,!?]|$)|</?[A-Za-z][^<>\s]*>'), _hide_apart),  # smileys, HTML
    (re.compile(r'&quot;'), ' " '),
    (re.compile(r'&amp;'), '&'),
    (re.compile(r'(?<=[A-Z])&(?=[A-Z])'), _hide),
    (re.compile(r'(?<=\d)([ap])\.(?=m\.)', re.IGNORECASE), r'\1 '),
    (re.compile(r'(?<![^\W_])([^\W_][^\s"()\[\]{}<>,;:]*?)\.(?:\s*\.)+'), _dots),
    (re.compile(r'\.(?:\s*\.)+'), ' ... '),
    (re.compile(r'\b([Nn]o)\.(?=\d)'), '\\1\ue000 '),
    (re.compile(r'(?<=\w)\+(?=\w)'), ' + '),
    (re.compile(r'[?!]{2,}'), _hide_apart),  # '!!' is one token, and not on COCO's list
    (re.compile(r'(?<=\w)[?!](?=\w)'), _hide),
    (re.compile(r'\S+@\S+\.\w+|\bhttps?://\S*[^\s.,;:?!]|[#@](?=[^\W\d])'), _hide),
    (re.compile(r"(?<=\w)'n'(?=\w)"), ' \ue006n\ue006 '),
    (re.compile(r"(?<!\S)'n'(?![^\s.,])|(?<!\S)'(?=(?:n|em|cause|s|d|m|re|ve|ll|\d\ds?)(?!\w))"), _hide),
    (re.compile(r"(?<![^\s(\[{\"])'(?=(?!tis\b|twas\b)\w)|(?<=\d)'(?=\d)"), " ' "),  # an opening quote; 5'2
    (re.compile(r"\b([yY])'(all)\b"), '\\1\ue006 \\2'),
    (re.compile(r'(?<=\w)/(?!\S)'), ' / '),  # 'w/'
    (re.compile(r'(?<=:\d\d)(?=[ap]m\b)', re.IGNORECASE), ' '),
    (re.compile(r"\bd'(?=ye\b)", re.IGNORECASE), _hide),
    (re.compile(r'(\w[^\s"()\[\]{}<>,;:]*?)\.(?=[\s"\'()\[\]{},;:?!]|$)(?=(\s*\d|[,:;]))?'), _end_of_word),
]

_TREEBANK = TreebankWordTokenizer()

# Nine captions of ten are letters, blanks and commas up to a full stop: those need none of the rules above.
_PLAIN = re.compile(r"(?:[A-Za-z]+(?:-[A-Za-z]+)*(?:'s)?(?:, *| +|$))+")
_CONTRACTED = re.compile(r'\b(?:cannot|gimme|gonna|gotta|lemme|wanna)\b')
_PLAIN_LENGTH = 200


def ptb_tokenize(caption: str) -> list[str]:
    """Tokenise a caption as the official COCO caption evaluation does.

    Equal to Stanford's PTB tokenizer plus COCO's punctuation filter on all but rare oddities of real captions
    (``docs/user_guides/caption_metrics.md`` has figures).

    Args:
        caption (str): One caption; line breaks count as spaces.

    Returns:
        list[str]: Lower-case tokens without punctuation, possibly none.

    Examples:
        >>> ptb_tokenize("A dog's bowl (red), on 5th Ave. in the U.S.")
        ['a', 'dog', "'s", 'bowl', '-lrb-', 'red', '-rrb-', 'on', '5th', 'ave.', 'in', 'the', 'u.s.']
    """
    tokens = _split_plain(caption)
    return _apply_rules(caption) if tokens is None else tokens


def _split_plain(caption: str) -> list[str] | None:
    """The tokens of a plain caption, as the rules would give them, or None if it takes the rules."""
    text = caption.strip()
    stop = text.endswith('.')
    text = text[:-1] if stop else text
    if len(text) > _PLAIN_LENGTH or not _PLAIN.fullmatch(text):
        return None
    lower = text.lower()
    if _CONTRACTED.search(lower) or (stop and _is_abbreviation(re.split('[ ,]', text)[-1])):
        return None
    return lower.replace(',', ' ').replace("'s", " 's").split()


def _apply_rules(caption: str) -> list[str]:
    text = _LONG_RUN.sub(r'\g<0> ', caption.translate(_SIGNS))
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    tokens = (token.translate(_SHOW).lower() for token in _TREEBANK.tokenize(text, convert_parentheses=True))
    return [token for token in tokens if token not in PUNCTUATION]
