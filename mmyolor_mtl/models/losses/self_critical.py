"""Captions trained by what they are scored with: CIDEr of the network's own sentences (REFERENCE_SPEC 3.5)."""

import json
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn
from torch.nn import functional as F

from mmyolor_mtl.evaluation.functional import CiderScorer, ptb_tokenize
from mmyolor_mtl.models.text.generation import generate, sample
from mmyolor_mtl.registry import MODELS

if TYPE_CHECKING:
    from ..heads.base_caption_head import BaseCaptionHead

Search = Literal['beam', 'sample']
Baseline = Literal['mean', 'greedy']

_tokens = lru_cache(maxsize=2**20)(ptb_tokenize)  # the references of an image come back every epoch


@MODELS.register_module()
class SelfCriticalLoss(nn.Module):
    """Self-critical sequence training: sentences that score above a baseline become likelier, the others less likely.

    ``loss = -mean((r - b) * log p / T)`` over all sentences, where ``log p`` sums the words of a sentence, ``T`` is the
    longest sentence that may be written, ``r`` its CIDEr against the captions of its image and ``b`` a baseline.
    Unlike the reference, texts are tokenised as the metric does it, and n-grams weigh by how rare they are in the whole
    training set rather than in the batch.

    Args:
        caption_file (str): COCO captions of the training set, for the weights of n-grams.
        num_captions (int): Sentences K an image, at least 2 for the baseline 'mean'.
        search (str): 'beam' takes the K best of a beam search, 'sample' draws K at random.
        baseline (str): 'mean' of the image's K sentences, or 'greedy', the sentence written without search.
        max_length (int): Longest sentence T in tokens, end token included.
        variant (str): 'CIDEr-D' or 'CIDEr'.
        loss_weight (float): Gain of the term.

    Raises:
        ValueError: An argument is out of range, or ``caption_file`` holds no captions.
        FileNotFoundError: There is no ``caption_file``.
    """

    def __init__(
        self,
        caption_file: str,
        *,
        num_captions: int = 5,
        search: Search = 'beam',
        baseline: Baseline = 'mean',
        max_length: int = 20,
        variant: Literal['CIDEr-D', 'CIDEr'] = 'CIDEr-D',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if search not in get_args(Search) or baseline not in get_args(Baseline):
            raise ValueError(
                f'search={search!r} must be one of {get_args(Search)}, baseline={baseline!r} of {get_args(Baseline)}'
            )
        if num_captions < (2 if baseline == 'mean' else 1):
            raise ValueError(f'num_captions={num_captions} is too few for the baseline {baseline!r}')
        self.num_captions = num_captions
        self.search = search
        self.baseline = baseline
        self.max_length = max_length
        self.loss_weight = loss_weight
        self._cider = CiderScorer(_read_references(caption_file), variant=variant)

    def forward(self, head: 'BaseCaptionHead', memory: Any, data_samples: list[DetDataSample]) -> Tensor:
        """Loss of a batch.

        Args:
            head (BaseCaptionHead): Writes the sentences; needs a tokenizer.
            memory: What its decoder looks at, for B images.
            data_samples (list[DetDataSample]): B samples with ``gt_captions``.

        Returns:
            Tensor: Scalar.
        """
        references = [[_tokens(text) for text in one.gt_captions] for one in data_samples]
        with torch.no_grad():
            tokens = self._write(head, memory, len(data_samples))
            rewards = self.rewards(head, tokens, references)
            if self.baseline == 'mean':
                baseline = rewards.mean(dim=1, keepdim=True)
            else:
                greedy = self._search(head, memory, len(data_samples), beam_size=1)
                baseline = self.rewards(head, greedy, references)
        log_probs = sentence_log_probs(head, memory, tokens)
        return -self.loss_weight * ((rewards - baseline) * log_probs).mean() / self.max_length

    def _write(self, head: 'BaseCaptionHead', memory: Any, batch: int) -> Tensor:
        """(B, K, T) sentences."""
        if self.search == 'beam':
            return self._search(head, memory, batch, beam_size=self.num_captions)
        return sample(*self._run(head, memory, batch), num_samples=self.num_captions, **self._rules(head)).tokens

    def _search(self, head: 'BaseCaptionHead', memory: Any, batch: int, beam_size: int) -> Tensor:
        return generate(*self._run(head, memory, batch), beam_size=beam_size, **self._rules(head)).tokens

    def _run(self, head: 'BaseCaptionHead', memory: Any, batch: int) -> tuple[Any, Tensor]:
        """A decoding and its first tokens."""
        device = next(head.parameters()).device
        return head.decoder.start(memory), torch.full((batch,), head.special_ids['bos_id'], device=device)

    def _rules(self, head: 'BaseCaptionHead') -> dict[str, Any]:
        ids = head.special_ids
        never = (ids['pad_id'], ids['bos_id'], ids['unk_id'])
        return dict(eos_id=ids['eos_id'], pad_id=ids['pad_id'], max_length=self.max_length, suppress=never)

    def rewards(self, head: 'BaseCaptionHead', tokens: Tensor, references: list[list[list[str]]]) -> Tensor:
        """CIDEr (B, K), in [0, 10], of sentences (B, K, T) against the references of their images."""
        batch, sentences = tokens.shape[:2]
        if head.tokenizer is None:
            raise ValueError('self-critical training scores text: the caption head needs a tokenizer')
        texts = [_tokens(head.tokenizer.decode(row)) for row in tokens.flatten(0, 1).tolist()]
        images = np.arange(batch).repeat(sentences)
        scores = self._cider(texts, references, images)
        return torch.from_numpy(scores).to(tokens.device, torch.float32).view(batch, sentences)


def sentence_log_probs(head: 'BaseCaptionHead', memory: Any, tokens: Tensor) -> Tensor:
    """Log-probability of whole sentences, with a gradient.

    Args:
        head (BaseCaptionHead): The head that wrote them.
        memory: What its decoder looks at, for B images.
        tokens (Tensor): (B, K, T) without start token, padded.

    Returns:
        Tensor: (B, K), sums over the tokens, end token included.
    """
    rows, ids = tokens.flatten(0, 1), head.special_ids
    inputs = torch.cat([torch.full_like(rows[:, :1], ids['bos_id']), rows[:, :-1]], dim=1)
    words = (rows != ids['pad_id']).flatten().nonzero()[:, 0]
    states = head.decoder.hidden(inputs, memory).flatten(0, 1)[words]
    found = -F.cross_entropy(head.decoder.output(states).float(), rows.flatten()[words], reduction='none')
    return found.new_zeros(len(rows)).index_add(0, words // rows.shape[1], found).view(tokens.shape[:2])


def _read_references(path: str) -> list[list[list[str]]]:
    """Tokenised captions by image."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'caption_file {path} does not exist')
    by_image: dict[Any, list[list[str]]] = defaultdict(list)
    for annotation in json.loads(Path(path).read_text(encoding='utf-8')).get('annotations', ()):
        by_image[annotation['image_id']].append(_tokens(annotation['caption']))
    if not by_image:
        raise ValueError(f'caption_file {path} holds no captions')
    return list(by_image.values())
