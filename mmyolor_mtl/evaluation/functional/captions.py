"""All caption scores of a set of images in one call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .bleu import bleu
from .cider import cider
from .diversity import diversity
from .java_scores import JavaUnavailableError, java_tokenize, meteor, spice
from .ngrams import Tokens, check_captions
from .ptb_tokenize import ptb_tokenize
from .rouge import rouge_l

CAPTION_METRICS = ('BLEU', 'ROUGE_L', 'CIDEr', 'diversity', 'CIDEr_plain', 'METEOR', 'SPICE')
DEFAULT_METRICS = CAPTION_METRICS[:4]
TOKENIZERS: dict[str, Callable[[Sequence[str]], list[list[str]]]] = {
    'ptb': lambda captions: [ptb_tokenize(caption) for caption in captions],
    'java': java_tokenize,
}
_MEANS: dict[str, Callable[..., np.ndarray]] = {
    'ROUGE_L': rouge_l,
    'CIDEr': cider,
    'CIDEr_plain': lambda candidates, references: cider(candidates, references, variant='CIDEr'),
}
_JAVA: dict[str, Callable[..., tuple[float, np.ndarray]]] = {'METEOR': meteor, 'SPICE': spice}


@dataclass
class CaptionScores:
    """Scores of a set of captions.

    Attributes:
        figures (dict[str, float]): Name and score of the whole set.
        per_image (dict[str, np.ndarray]): Name and score of each image, (images,); diversity is none of one image.
        absent (list[str]): One line for each metric that could not be computed, with what it lacks.
    """

    figures: dict[str, float] = field(default_factory=dict)
    per_image: dict[str, np.ndarray] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)

    def add(self, name: str, figure: float, per_image: np.ndarray) -> None:
        """Add a score of the set and its images'."""
        self.figures[name] = float(figure)
        self.per_image[name] = per_image


def check_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """Names of metrics as they are written here, whatever their case.

    Raises:
        ValueError: None, or an unknown one.
    """
    known = {name.lower(): name for name in CAPTION_METRICS}
    unknown = [name for name in metrics if name.lower() not in known]
    if unknown or not metrics:
        raise ValueError(f'unknown caption metrics {unknown}: choose from {", ".join(CAPTION_METRICS)}')
    return tuple(known[name.lower()] for name in metrics)


def tokenize_captions(
    captions: Sequence[str], references: Sequence[Sequence[str]], tokenizer: str = 'ptb'
) -> tuple[list[list[str]], list[list[list[str]]]]:
    """Tokenise captions and their references.

    Args:
        captions (Sequence[str]): One caption an image.
        references (Sequence[Sequence[str]]): The references of each image.
        tokenizer (str): 'ptb', which needs nothing, or 'java', Stanford's own.

    Returns:
        tuple: The tokens of the captions and of the references, in the same order.

    Raises:
        ValueError: Unknown tokenizer.
        JavaUnavailableError: 'java' without Java or ``pycocoevalcap``.
    """
    if tokenizer not in TOKENIZERS:
        raise ValueError(f'unknown tokenizer {tokenizer!r}: choose from {", ".join(TOKENIZERS)}')
    tokens = iter(TOKENIZERS[tokenizer]([*captions, *(ref for refs in references for ref in refs)]))
    return [next(tokens) for _ in captions], [[next(tokens) for _ in refs] for refs in references]


def score_captions(
    candidates: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    metrics: Sequence[str] = DEFAULT_METRICS,
) -> CaptionScores:
    """Score one caption an image against its references.

    Args:
        candidates (Sequence[Sequence[str]]): One tokenised caption an image.
        references (Sequence[Sequence[Sequence[str]]]): The tokenised references of each image, in the same order.
        metrics (Sequence[str]): Of ``CAPTION_METRICS``: 'BLEU' (``Bleu_1`` to ``Bleu_4``), 'ROUGE_L', 'CIDEr' (as the
            official toolkit computes it, which is CIDEr-D), 'diversity' (see :func:`diversity`), 'CIDEr_plain' (without
            CIDEr-D's clipping and length penalty), 'METEOR' and 'SPICE' (through Java; absent without it).

    Returns:
        CaptionScores: The figures, of the set and of each image.

    Raises:
        ValueError: No images, unequal counts, an image without references, or an unknown metric.
    """
    check_captions(candidates, references)
    scores = CaptionScores()
    for metric in check_metrics(metrics):
        if metric == 'diversity':
            scores.figures.update(diversity(candidates, references))
        elif metric == 'BLEU':
            total, images = bleu(candidates, references)
            for i, figure in enumerate(total):
                scores.add(f'Bleu_{i + 1}', figure, images[:, i])
        elif metric in _MEANS:
            images = _MEANS[metric](candidates, references)
            scores.add(metric, images.mean(), images)
        else:
            try:
                scores.add(metric, *_JAVA[metric](candidates, references))
            except JavaUnavailableError as error:
                scores.absent.append(f'{metric} is left out: {error}')
    return scores
