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
    insp det msgr ph.d
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
_CAPITAL_ABBREVIATIONS = frozenset(['Mass', 'Tex', 'Ill', 'Wash', 'Ore', 'La', 'Del', 'Ark', 'Miss'])
_BEFORE_NUMBER = frozenset(['no', 'nos', 'fig', 'pp', 'art', 'op'])
_ACRONYM = re.compile(r'[^\W\d_](\.[^\W\d_])*')  # one letter, or letters with dots between: 'b.', 'u.s.'

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
}
_SHOW = str.maketrans({hidden: sign for sign, hidden in _HIDDEN.items()})
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
    last = word.rpartition('-')[2]
    keep = (
        last.lower() in _ABBREVIATIONS
        or last in _CAPITAL_ABBREVIATIONS
        or following == ','  # a sentence does not end before a comma
        or (following is not None and last.lower() in _BEFORE_NUMBER)
        or _ACRONYM.fullmatch(last) is not None
    )
    return f'{word}\ue000 ' if keep else f'{word} . '


_LONG_RUN = re.compile(r'\S{200}')  # no word is that long; cutting such a run keeps the rules' time linear

_RULES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile('[\ue000-\uf8ff\U00010000-\U0010ffff]'), ' '),  # emoji are not tokens (and the stand-ins are ours)
    (re.compile(r'[*^~=|\\°™®©•¿]+'), r' \g<0> '),
    (re.compile(r'-{2,}'), ' -- '),
    (re.compile(r'(?<!\S)-(?=[^\W\d])|(?<=\w)-(?!\S)'), ' - '),
    (re.compile(r'\.(?:\s*\.)+'), ' ... '),
    (re.compile(r'[?!]{2,}'), _hide_apart),  # '!!' is one token, and not on COCO's list
    (re.compile(r'(?<=\w)[?!](?=\w)'), _hide),
    (re.compile(r'\S+@\S+\.\w+|\bhttps?://\S+|[#@](?=[^\W\d])'), _hide),
    (re.compile(r'(?<=[A-Z])&(?=[A-Z])'), _hide),
    (re.compile(r"(?<!\S)'n'(?!\S)|(?<!\S)'(?=(?:n|em|cause|s|d|m|re|ve|ll|\d\ds?)(?!\w))"), _hide),
    (re.compile(r"(?<![^\s(\[{\"])'(?=(?!tis\b|twas\b)\w)|(?<=\d)'(?=\d)"), " ' "),  # an opening quote; 5'2
    (re.compile(r"\b([yY])'(all)\b"), '\\1\ue006 \\2'),
    (re.compile(r'(?<=\w)/(?!\S)'), ' / '),  # 'w/'
    (re.compile(r'(?<=\d)(?=[ap]m\b)', re.IGNORECASE), ' '),
    (re.compile(r'(\w[^\s"()\[\]{}<>,;:]*?)\.(?=[\s"\'()\[\]{},;:?!]|$)(?=(\s*\d|,))?'), _end_of_word),
]

_TREEBANK = TreebankWordTokenizer()


def ptb_tokenize(caption: str) -> list[str]:
    """Tokenise a caption as the official COCO caption evaluation does.

    Equal to Stanford's PTB tokenizer plus COCO's punctuation filter on all but rare oddities of real captions
    (``tests/test_evaluation/test_functional/test_ptb_tokenize.py`` has figures).

    Args:
        caption (str): One caption; line breaks count as spaces.

    Returns:
        list[str]: Lower-case tokens without punctuation, possibly none.

    Examples:
        >>> ptb_tokenize("A dog's bowl (red), on 5th Ave. in the U.S.")
        ['a', 'dog', "'s", 'bowl', '-lrb-', 'red', '-rrb-', 'on', '5th', 'ave.', 'in', 'the', 'u.s.']
    """
    text = _LONG_RUN.sub(r'\g<0> ', caption.translate(_SIGNS))
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    tokens = (token.translate(_SHOW).lower() for token in _TREEBANK.tokenize(text, convert_parentheses=True))
    return [token for token in tokens if token not in PUNCTUATION]
