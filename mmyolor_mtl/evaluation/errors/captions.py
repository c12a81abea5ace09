"""Errors of captions."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmdet.structures import DetDataSample

from ..functional import CaptionScores, score_captions, tokenize_captions
from ..functional.length_groups import group_by_length
from .common import ImageScore, TaskErrors, is_labelled

_METRICS = ('BLEU', 'CIDEr')


@dataclass
class _Scored:
    """Scores; words of every caption and, on average, of its references."""

    scores: CaptionScores
    lengths: np.ndarray
    expected: np.ndarray


@dataclass
class CaptionErrors(TaskErrors):
    """Captions far from their references; images are scored by CIDEr, whose word weights come from all of them."""

    _indices: list[int] = field(default_factory=list)
    _captions: list[str] = field(default_factory=list)
    _references: list[list[str]] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of images judged."""
        return len(self._indices)

    def add(self, index: int, sample: DetDataSample) -> None:
        """Keep the caption and the references of a sample."""
        references, caption = sample.get('gt_captions', None), sample.get('pred_caption', None)
        if is_labelled(sample, 'cap') and references and caption is not None:
            self._indices.append(index)
            self._captions.append(caption)
            self._references.append(list(references))

    def scores(self) -> list[ImageScore]:
        """CIDEr of every image."""
        scored = self._score()
        cider, bleu = (scored.scores.per_image[name] for name in ('CIDEr', 'Bleu_4'))
        return [
            ImageScore(
                index,
                float(cider[i]),
                f'BLEU-4 {bleu[i]:.2f}; {scored.lengths[i]} words, the references have {scored.expected[i]:.0f}',
            )
            for i, index in enumerate(self._indices)
        ]

    def summary(self) -> dict[str, Any]:
        """Figures of all captions.

        Returns:
            dict: ``images``, ``figures``, ``lengths`` (scores of captions by their length) and ``scores`` (CIDEr of
            every image).
        """
        scored = self._score()
        per_image = scored.scores.per_image
        values = {'reference_words': scored.expected, 'CIDEr': per_image['CIDEr'], 'Bleu_4': per_image['Bleu_4']}
        words = {'words': float(scored.lengths.mean()), 'reference_words': float(scored.expected.mean())}
        return {
            'images': len(self),
            'figures': scored.scores.figures | words,
            'lengths': group_by_length(scored.lengths, values),
            'scores': per_image['CIDEr'].round(4).tolist(),
        }

    def _score(self) -> _Scored:
        captions, references = tokenize_captions(self._captions, self._references)
        lengths = np.array([len(words) for words in captions])
        expected = np.array([np.mean([len(words) for words in group]) for group in references])
        return _Scored(score_captions(captions, references, _METRICS), lengths, expected)
