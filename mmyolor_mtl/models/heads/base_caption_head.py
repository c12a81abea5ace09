"""What caption heads have in common: vocabulary, loss, search."""

import zlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn
from torch.nn import functional as F

from mmyolor_mtl.models.text.generation import Generated, generate, sample, sentence_lengths
from mmyolor_mtl.postprocess import Placement
from mmyolor_mtl.registry import TOKENIZERS

from ..losses.across_processes import share_of_processes
from .base_head import TaskHead, zero_loss

Region = tuple[float, float, float, float]

# Ids of WordTokenizer, for a head that is given ids only.
SPECIAL_IDS = dict(pad_id=0, unk_id=1, bos_id=2, eos_id=3)
TEST_CFG = dict(
    max_length=20,
    min_length=0,
    no_repeat_ngram=0,
    write_unknown=False,
    num_captions=1,
    beam_size=3,
    length_penalty=0.0,
    top_p=None,
    temperature=1.0,
    seed=None,
)
SEARCH_KEYS, SAMPLE_KEYS = ('beam_size', 'length_penalty'), ('temperature', 'seed')


class BaseCaptionHead(TaskHead):
    """Base of the heads that write a sentence about a picture.

    A subclass builds ``decoder``, which has ``max_length``, ``hidden(tokens, memory)`` (R, T) -> (R, T, D),
    ``output`` (..., D) -> (..., V) and ``start(memory)`` -> ``text.generation.Decoding``; and says in :meth:`memory`
    what the decoder may look at.

    Args:
        max_length: Longest caption T in tokens, start token included.
        vocab_size: Vocabulary V; defaults to the tokenizer's.
        tokenizer: Config of the tokenizer. A head without one predicts ids, and takes them to be ``WordTokenizer``'s.
        loss_weight: Weight of the loss.
        label_smoothing: Share of the target probability that is spread over the vocabulary.
        test_cfg: How captions are written; see ``text.generation`` for the meaning. Any of ``max_length`` (20 tokens,
            end token included), ``min_length`` (0), ``no_repeat_ngram`` (0), ``write_unknown`` (False: the token for
            unknown words is never written) and ``num_captions`` (1 an image); for the search ``beam_size`` (3; 1 is
            greedy) and ``length_penalty`` (0). With ``top_p`` captions are drawn instead; then ``temperature`` (1) and
            ``seed`` (None), with which an image (``img_id``) gets the same captions in any batch.
        init_cfg: MMEngine's initialisation config.

    Raises:
        ValueError: Sizes that do not fit each other; the message names them.
    """

    task = 'cap'
    decoder: nn.Module

    def __init__(
        self,
        *,
        max_length: int,
        vocab_size: int | None,
        tokenizer: dict | None,
        loss_weight: float,
        label_smoothing: float,
        test_cfg: dict | None,
        init_cfg: dict | list[dict] | None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.loss_weight = loss_weight
        self.label_smoothing = label_smoothing
        self.tokenizer = None if tokenizer is None else TOKENIZERS.build({'_scope_': 'mmyolor_mtl', **tokenizer})
        self.vocab_size = _check_vocab_size(vocab_size, self.tokenizer)
        self.special_ids = {k: getattr(self.tokenizer, k, i) for k, i in SPECIAL_IDS.items()}
        self.self_critical: nn.Module | None = None  # SelfCriticalHook sets it: another loss takes over
        self.test_cfg = _check_test_cfg(test_cfg or {}, max_length)

    @property
    def rules(self) -> dict[str, Any]:
        """What ``test_cfg`` says about every way to write, in the terms of ``text.generation``."""
        ids = self.special_ids
        never = ['pad_id', 'bos_id'] + ([] if self.test_cfg['write_unknown'] else ['unk_id'])
        return dict(
            {key: self.test_cfg[key] for key in ('max_length', 'min_length', 'no_repeat_ngram')},
            eos_id=ids['eos_id'],
            pad_id=ids['pad_id'],
            suppress=[ids[name] for name in never],
        )

    @abstractmethod
    def memory(
        self,
        feats: Sequence[Tensor],
        regions: Sequence[Region | None] | None = None,
        shared: Mapping[str, Any] | None = None,
    ) -> Any:
        """What the decoder may look at.

        Args:
            feats: Features of B images, as the shell hands them to the head.
            regions: For each image the part that shows the picture, (x1, y1, x2, y2) px, or None for all.
            shared: What the heads named in ``requires`` left.
        """

    def forward(self, feats: Sequence[Tensor], shared: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
        """One pass without search, for tracing and for counting FLOPs.

        Args:
            feats: Features of B images.
            shared: Raw outputs of the heads before this one.

        Returns:
            dict: ``cap_logits`` (B, 1, V), the scores of the first word.
        """
        start = torch.full((feats[0].shape[0], 1), self.special_ids['bos_id'], device=feats[0].device)
        return dict(cap_logits=self.decoder(start, self.memory(feats, shared=shared)))

    def loss(
        self, feats: Sequence[Tensor], data_samples: list[DetDataSample], shared: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Cross-entropy of the next word, mean over all words (end tokens included) of the batch.

        Args:
            feats: Levels of the caption views.
            data_samples: Their samples, each with ``gt_caption_ids`` and optionally the metainfo ``caption_region``,
                (x1, y1, x2, y2) px. The ids are (K, T), a caption a row, from start to end token and padded, or (T,)
                for one caption; an image is projected once for its K captions. Empty if no image has a caption: the
                loss is then a zero that depends on the features and on every parameter.
            shared: What the heads named in ``requires`` left.

        Returns:
            dict: ``loss_cap_ce``; while ``self_critical`` is set, ``loss_cap_scst`` of the samples' ``gt_captions``.

        Raises:
            ValueError: A sample has no caption, one that is too long, or ids outside the vocabulary.
        """
        name = 'loss_cap_ce' if self.self_critical is None else 'loss_cap_scst'
        if not len(data_samples):
            anchor = next(self.parameters())
            return {name: share_of_processes(0, anchor) * zero_loss(*feats, *self.parameters())}
        _check_batch(feats, data_samples)
        regions = [sample.get('caption_region') for sample in data_samples]
        if self.self_critical is not None:
            loss = self.self_critical(self, self.memory(feats, regions, shared), data_samples)
            return {name: share_of_processes(len(data_samples), feats[0]) * loss}
        tokens = self._stack_captions([self._caption_ids(sample) for sample in data_samples])
        # The output MLP holds half of the parameters: it runs on words, not on padding.
        words = (tokens[:, 1:] != self.special_ids['pad_id']).flatten().nonzero()[:, 0].to(feats[0].device)
        tokens = tokens.to(feats[0].device)
        memory = self.memory(feats, regions, shared)
        states = self.decoder.hidden(tokens[:, :-1], memory).flatten(0, 1)[words]
        targets = tokens[:, 1:].flatten()[words]
        loss = F.cross_entropy(self.decoder.output(states).float(), targets, label_smoothing=self.label_smoothing)
        return {name: share_of_processes(len(words), feats[0]) * self.loss_weight * loss}

    def _caption_ids(self, sample: DetDataSample) -> Tensor:
        """Ids (K, T) of a sample's captions, checked for their shape."""
        ids = sample.get('gt_caption_ids')
        name = sample.get('img_path', 'an image')
        if ids is None:
            raise ValueError(f'{name} has no gt_caption_ids: give the head only samples that carry a caption')
        if ids.dim() not in (1, 2) or not ids.numel() or not 2 <= ids.shape[-1] <= self.decoder.max_length + 1:
            raise ValueError(
                f'gt_caption_ids of {name} have shape {tuple(ids.shape)}: the caption head takes (K, T) or (T,) with T '
                f'from 2 to {self.decoder.max_length + 1}, start and end token included; see max_length of '
                'TokenizeCaption'
            )
        return ids.reshape(-1, ids.shape[-1])

    def _stack_captions(self, captions: list[Tensor]) -> Tensor:
        """Pad to one (B * K, T) int64: the K rows of an image stand together, rows it lacks hold padding alone."""
        rows, length = (max(ids.shape[dim] for ids in captions) for dim in (0, 1))
        pad = self.special_ids['pad_id']
        tokens = torch.cat(
            [F.pad(ids, (0, length - ids.shape[1], 0, rows - ids.shape[0]), value=pad) for ids in captions]
        ).long()
        low, high = torch.stack(tokens.aminmax()).tolist()
        if low < 0 or high >= self.vocab_size:
            raise ValueError(
                f'gt_caption_ids reach from {low} to {high}, but the caption head has vocab_size={self.vocab_size}: '
                'give the pipeline and the head the same tokenizer'
            )
        return tokens

    @torch.no_grad()
    def predict(
        self,
        feats: Sequence[Tensor],
        data_samples: list[DetDataSample],
        shared: dict[str, Any] | None = None,
        rescale: bool = True,
    ) -> None:
        """Write a caption for each image into its sample.

        Sets ``pred_caption_ids`` (T,) with the end token, ``pred_caption_score``, the mean log-probability per token
        (0 is certain), and with a tokenizer ``pred_caption``, a string. With ``num_captions`` above 1 also the lists
        ``pred_caption_scores`` and ``pred_captions``, best first, shorter only where not so many sentences exist.

        Args:
            feats: Levels of the images.
            data_samples: Their samples. What their metainfo calls padding is not looked at.
            shared: What the heads named in ``requires`` left.
            rescale: Not used; a sentence has no size.
        """
        _check_batch(feats, data_samples)
        regions = [_unpadded_region(sample) for sample in data_samples]
        written = self._write(self.memory(feats, regions, shared), data_samples, feats[0].device)
        number = self.test_cfg['num_captions']
        tokens, exists = written.tokens[:, :number].cpu(), written.scores[:, :number] > float('-inf')
        lengths = sentence_lengths(tokens, self.special_ids['eos_id'])
        means = written.log_probs[:, :number].cpu().sum(-1) / lengths
        for i, data_sample in enumerate(data_samples):
            # The first stands even if the rules left no sentence.
            count = max(1, int(exists[i].sum()))
            sentences = [row[:length] for row, length in zip(tokens[i, :count], lengths[i].tolist(), strict=False)]
            scores = means[i, :count].tolist()
            data_sample.pred_caption_ids, data_sample.pred_caption_score = sentences[0], scores[0]
            if number > 1:
                data_sample.pred_caption_scores = scores
            if self.tokenizer is not None:
                texts = [self.tokenizer.decode(sentence.tolist()) for sentence in sentences]
                data_sample.pred_caption = texts[0]
                if number > 1:
                    data_sample.pred_captions = texts

    def _write(self, memory: Any, data_samples: Sequence[DetDataSample], device: torch.device) -> Generated:
        """Sentences about B images as ``test_cfg`` says."""
        cfg, ids, common = self.test_cfg, self.special_ids, self.rules
        decoding = self.decoder.start(memory)
        start = torch.full((len(data_samples),), ids['bos_id'], device=device)
        if cfg['top_p'] is None:
            return generate(decoding, start, **{key: cfg[key] for key in SEARCH_KEYS}, **common)
        seeds = None
        if cfg['seed'] is not None:
            names = [f'{cfg["seed"]} {data_sample.get("img_id")}' for data_sample in data_samples]
            seeds = [zlib.crc32(name.encode()) for name in names]
        return sample(
            decoding,
            start,
            num_samples=cfg['num_captions'],
            top_p=cfg['top_p'],
            temperature=cfg['temperature'],
            seeds=seeds,
            **common,
        )


def _check_batch(feats: Sequence[Tensor], data_samples: Sequence[DetDataSample]) -> None:
    if len(data_samples) != feats[0].shape[0]:
        raise ValueError(f'{len(data_samples)} data samples do not fit features of {feats[0].shape[0]} images')


def _check_vocab_size(vocab_size: int | None, tokenizer: Any) -> int:
    if vocab_size is None and tokenizer is None:
        raise ValueError('the caption head needs a tokenizer, or vocab_size for a head that works on ids')
    if vocab_size is None:
        return len(tokenizer)
    if tokenizer is not None and vocab_size < len(tokenizer):
        raise ValueError(f'vocab_size={vocab_size} is smaller than the vocabulary of the tokenizer: {len(tokenizer)}')
    return vocab_size


def _check_test_cfg(test_cfg: dict, max_length: int) -> dict:
    unknown = sorted(set(test_cfg) - set(TEST_CFG))
    if unknown:
        raise ValueError(f'test_cfg of the caption head has unknown keys {unknown}; it takes {sorted(TEST_CFG)}')
    cfg = {**TEST_CFG, 'max_length': min(20, max_length), **test_cfg}
    draws = cfg['top_p'] is not None
    useless = sorted(set(test_cfg) & set(SEARCH_KEYS if draws else SAMPLE_KEYS))
    if useless:
        raise ValueError(f'test_cfg of the caption head: {useless} mean nothing with top_p={cfg["top_p"]}')
    if cfg['num_captions'] < 1 or (not draws and cfg['num_captions'] > cfg['beam_size']):
        raise ValueError(
            f'test_cfg.num_captions={cfg["num_captions"]} must be at least 1 and at most beam_size={cfg["beam_size"]}'
        )
    if cfg['max_length'] > max_length:
        raise ValueError(f'test_cfg.max_length={cfg["max_length"]} exceeds max_length={max_length} of the caption head')
    return cfg


def _unpadded_region(sample: DetDataSample) -> Region | None:
    """Part of the network's input that shows the picture; None if the sample does not say."""
    if not {'ori_shape', 'img_shape'} <= set(sample.metainfo_keys()):
        return None
    placement = Placement.from_meta(sample.metainfo)
    (top, left), (height, width) = placement.corner, placement.shown
    return left, top, left + width, top + height
