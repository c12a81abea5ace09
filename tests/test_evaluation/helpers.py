"""Golden caption figures and a small metainfo."""

import json
from pathlib import Path

META = {
    'classes': ('ball', 'cube', 'cone'),
    'thing_ids': (1, 2, 5),
    'stuff_classes': ('grass', 'lawn', 'sand', 'fog'),
    'stuff_ids': (10, 11, 12, 13),
    'extra_classes': ('other',),
    # Lawn joins grass in a category of its own, fog is dropped.
    'panoptic_stuff': {10: 20, 11: 20, 12: 12, 13: 0},
}
VOID = 7  # number of evaluated classes


def golden() -> dict:
    """Captions written for these tests and what the official toolkit says of them."""
    return json.loads((Path(__file__).parent / 'caption_golden.json').read_text(encoding='utf-8'))


def golden_tokens() -> tuple[list[list[str]], list[list[list[str]]]]:
    """Official tokens of the golden candidates and references."""
    data = golden()
    return (
        [caption.split() for caption in data['tokenized_candidates']],
        [[caption.split() for caption in refs] for refs in data['tokenized_references']],
    )
