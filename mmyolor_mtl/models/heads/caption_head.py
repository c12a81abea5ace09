"""Caption head: a text decoder that looks at the features of the shared backbone."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor, nn

from mmyolor_mtl.models.layers.caption_decoder import CaptionDecoder, ImageMemory
from mmyolor_mtl.models.layers.caption_encoder import CaptionEncoder
from mmyolor_mtl.registry import MODELS

from .base_caption_head import BaseCaptionHead, Region


@MODELS.register_module()
class CaptionHead(BaseCaptionHead):
    """Write a sentence about a picture (REFERENCE_SPEC 2.6, wired as in 8.2).

    Each feature level passes a biased 1x1 convolution to D channels; the flattened levels are the memory that a
    pre-norm transformer decoder attends to. With the defaults and V = 30,522 it has 34,028,090 parameters. The paper
    leaves the encoder of a full transformer out; ``num_encoder_layers=6`` puts it back (7,890,944 parameters).

    Args:
        in_channels: Channels of each level.
        strides: Pixels that a cell of each level covers.
        levels: Indices of these levels among those that the head is given, such as (2,) for the coarsest of three; all
            of them by default.
        source: Where the shell takes the levels from, 'backbone' or 'neck'.
        embed_dims: Width D, a multiple of 4.
        num_encoder_layers: Layers that let the places of the memory look at each other before the decoder does. Their
            cost grows with the square of the number of places, so give them few levels.
        num_layers: Decoder layers.
        num_heads: Attention heads.
        feedforward_channels: Width inside the feed-forward of a layer.
        mlp_channels: Width inside the output MLP.
        dropout: Dropout of encoder and decoder.
        max_length: Longest caption T in tokens, start token included.
        vocab_size: Vocabulary V; defaults to the tokenizer's.
        tokenizer: Config of the tokenizer. A head without one predicts ids, and takes them to be ``WordTokenizer``'s.
        loss_weight: Weight of the loss.
        label_smoothing: Share of the target probability that is spread over the vocabulary.
        test_cfg: How captions are written, as of :class:`BaseCaptionHead`.
        init_cfg: MMEngine's initialisation config. Without it the decoder's own Xavier values stay.

    Raises:
        ValueError: Sizes that do not fit each other; the message names them.

    Examples:
        >>> import torch
        >>> head = CaptionHead(in_channels=(8,), strides=(8,), embed_dims=16, num_layers=1, vocab_size=10)
        >>> head((torch.rand(2, 8, 4, 4),))['cap_logits'].shape
        torch.Size([2, 1, 10])
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int] = (512, 1024, 1024),
        strides: Sequence[int] = (8, 16, 32),
        levels: Sequence[int] | None = None,
        source: str = 'backbone',
        embed_dims: int = 256,
        num_encoder_layers: int = 0,
        num_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        mlp_channels: int = 512,
        dropout: float = 0.1,
        max_length: int = 128,
        vocab_size: int | None = None,
        tokenizer: dict | None = None,
        loss_weight: float = 1.0,
        label_smoothing: float = 0.0,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            max_length=max_length,
            vocab_size=vocab_size,
            tokenizer=tokenizer,
            loss_weight=loss_weight,
            label_smoothing=label_smoothing,
            test_cfg=test_cfg,
            init_cfg=init_cfg,
        )
        if len(in_channels) != len(strides):
            raise ValueError(f'in_channels={tuple(in_channels)} and strides={tuple(strides)} must name the same levels')
        if levels is not None and len(levels) != len(in_channels):
            raise ValueError(f'levels={tuple(levels)} and in_channels={tuple(in_channels)} must name the same levels')
        if num_encoder_layers < 0:
            raise ValueError(f'num_encoder_layers={num_encoder_layers} must be at least 0')
        if source not in ('backbone', 'neck'):
            raise ValueError(f"source={source!r} must be 'backbone' or 'neck'")
        if embed_dims % 4:
            raise ValueError(f'embed_dims={embed_dims} must be a multiple of 4 (sine and cosine, for y and x)')
        self.source = source
        self.strides = tuple(strides)
        self.levels = None if levels is None else tuple(levels)
        self.projections = nn.ModuleList(nn.Conv2d(c, embed_dims, 1) for c in in_channels)
        self.position = SinePositionalEncoding(embed_dims // 2, normalize=True)
        kwargs = dict(
            embed_dims=embed_dims, num_heads=num_heads, feedforward_channels=feedforward_channels, dropout=dropout
        )
        self.encoder = CaptionEncoder(num_layers=num_encoder_layers, **kwargs) if num_encoder_layers else None
        self.decoder = CaptionDecoder(
            vocab_size=self.vocab_size,
            max_length=max_length,
            num_layers=num_layers,
            mlp_channels=mlp_channels,
            **kwargs,
            pad_id=self.special_ids['pad_id'],
        )

    def memory(
        self,
        feats: Sequence[Tensor],
        regions: Sequence[Region | None] | None = None,
        shared: Mapping[str, Any] | None = None,
    ) -> ImageMemory:
        """Project the levels, join them to one memory, and encode it where there is an encoder.

        Args:
            feats: A map (B, C, H, W) for each level, those of ``levels`` among them.
            regions: For each image the part that shows the picture, (x1, y1, x2, y2) px of the view, or None for all.
                Cells outside are not looked at.
            shared: Not used; the head needs nothing of the others.

        Returns:
            ImageMemory: N = all cells of all levels, D channels.

        Raises:
            ValueError: Wrong number of levels or regions, or a region that no cell overlaps.
        """
        if self.levels is not None:
            if max(self.levels) >= len(feats):
                raise ValueError(f'the caption head looks at levels {self.levels}, but there are {len(feats)}')
            feats = [feats[level] for level in self.levels]
        if len(feats) != len(self.projections):
            raise ValueError(f'the caption head was built for {len(self.projections)} levels, got {len(feats)}')
        if regions is not None and len(regions) != feats[0].shape[0]:
            raise ValueError(f'{len(regions)} regions do not fit {feats[0].shape[0]} images')
        height, width = (side * self.strides[0] for side in feats[0].shape[-2:])
        whole = (0.0, 0.0, float(width), float(height))
        given = [None] if regions is None else regions
        shown = torch.tensor([whole if region is None else region for region in given])
        masks = [cell_mask(shown, feat.shape[-2:], stride) for feat, stride in zip(feats, self.strides, strict=True)]
        for region, *levels in zip(given, *masks, strict=True):
            if region is not None and not all(level.any() for level in levels):
                raise ValueError(
                    f'caption region (x1, y1, x2, y2)={tuple(region)} has no part in the view of {(width, height)} px'
                )
        memory = self.memory_of_cells(feats, [mask.to(feats[0].device) for mask in masks])
        # Attention without a mask is faster, and most batches need none.
        if all(bool(mask.all()) for mask in masks):
            memory = memory._replace(mask=None)
        return memory if self.encoder is None else self.encoder(memory)

    def memory_of_cells(self, feats: Sequence[Tensor], masks: Sequence[Tensor]) -> ImageMemory:
        """Project the levels and join them to one memory, not encoded yet.

        Args:
            feats: A map (B, C, H, W) for each level.
            masks: Bool (B, H, W) for each level, True where a cell shows the picture.
        """
        contents, positions = [], []
        for feat, mask, projection in zip(feats, masks, self.projections, strict=True):
            content = projection(feat)
            contents.append(content.flatten(2))
            positions.append(self.position(~mask).flatten(2).to(content.dtype))
        return ImageMemory(
            torch.cat(contents, 2).transpose(1, 2),
            torch.cat(positions, 2).transpose(1, 2),
            torch.cat([mask.flatten(1) for mask in masks], 1),
        )


def cell_mask(regions: Tensor, shape: Sequence[int], stride: int) -> Tensor:
    """Cells that overlap a region: bool (B, h, w).

    Args:
        regions: (B, 4) xyxy px; one with no area overlaps nothing.
        shape: (h, w) of the level.
        stride: Pixels that a cell covers.
    """
    x1, y1, x2, y2 = regions[:, :, None].unbind(1)
    left = torch.arange(shape[1], device=regions.device) * stride
    top = torch.arange(shape[0], device=regions.device) * stride
    columns = (left < x2) & (left + stride > x1) & (x1 < x2)
    rows = (top < y2) & (top + stride > y1) & (y1 < y2)
    return rows[:, :, None] & columns[:, None]
