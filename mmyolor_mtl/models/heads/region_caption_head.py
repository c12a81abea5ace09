"""GYOLO's caption head: words look at the picture, at the likeliest objects and at one place a class."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmyolor_mtl.registry import MODELS

from ..layers.conv import ACT_CFG, INIT_CFG, NORM_CFG, conv
from ..layers.parallel_decoder import GridEncoder, ParallelDecoder, VisualMemories
from .base_caption_head import BaseCaptionHead, Region
from .branches import flatten_levels


@MODELS.register_module()
class RegionCaptionHead(BaseCaptionHead):
    """Caption head in GRIT's lineage (REFERENCE_SPEC 2.5), with the memories that GYOLO's other heads make possible.

    Three sets of cells are shown to the decoder: the attended top of the pyramid (*grid*); the cells where the
    one-to-one detection branches are surest of an object; and for each semantic class the cell where it is likeliest.
    What chooses the cells gets no gradient from the captions, the features in them do. As in the reference padding is
    not masked out.

    Args:
        in_channels: Channels of the levels that objects are taken from.
        grid_channels: Channels of the map behind the levels, the attended top of ``GELANPAFPN(attention=True)``.
        semantic_channels: Channels of ``sem_feats``.
        num_regions: Cells with objects, at most; fewer on small inputs.
        embed_dims: Width D.
        num_encoder_layers: Layers of the grid encoder.
        num_layers: Decoder layers.
        num_heads: Attention heads.
        feedforward_channels: Width inside the feed-forward of a layer.
        dropout: Dropout of encoder and decoder.
        max_length: Longest caption T in tokens, start token included.
        vocab_size: Vocabulary V; defaults to the tokenizer's.
        tokenizer: Config of the tokenizer. A head without one predicts ids, and takes them to be ``WordTokenizer``'s.
        loss_weight: Weight of the loss.
        label_smoothing: Share of the target probability that is spread over the vocabulary.
        test_cfg: How captions are written, as of :class:`BaseCaptionHead`.
        norm_cfg: Config of the norm layers of the projections.
        act_cfg: Config of their activations.
        init_cfg: Config of the initialisation of the convolutions.

    Raises:
        ValueError: Sizes that do not fit each other; the message names them.
    """

    requires = ('o2o_cls_logits', 'sem_logits', 'sem_feats')

    def __init__(
        self,
        *,
        in_channels: Sequence[int] = (256, 512, 512),
        grid_channels: int = 512,
        semantic_channels: int = 256,
        num_regions: int = 300,
        embed_dims: int = 256,
        num_encoder_layers: int = 1,
        num_layers: int = 1,
        num_heads: int = 8,
        feedforward_channels: int = 512,
        dropout: float = 0.2,
        max_length: int = 128,
        vocab_size: int | None = None,
        tokenizer: dict | None = None,
        loss_weight: float = 0.1,
        label_smoothing: float = 0.0,
        test_cfg: dict | None = None,
        norm_cfg: dict = NORM_CFG,
        act_cfg: dict = ACT_CFG,
        init_cfg: dict | list[dict] | None = INIT_CFG,
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
        if num_regions < 1:
            raise ValueError(f'num_regions must be at least 1, got {num_regions}')
        self.num_regions = num_regions

        def project(channels: int, out_channels: int) -> nn.Sequential:
            kwargs = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
            return nn.Sequential(
                conv(channels, out_channels, 1, **kwargs), conv(out_channels, out_channels, 1, **kwargs)
            )

        self.region_projections = nn.ModuleList(project(channels, embed_dims) for channels in in_channels)
        self.grid_projection = project(grid_channels, grid_channels)
        self.semantic_projection = project(semantic_channels, embed_dims)
        kwargs = dict(num_heads=num_heads, feedforward_channels=feedforward_channels, dropout=dropout)
        self.encoder = GridEncoder(grid_channels, embed_dims, num_layers=num_encoder_layers, **kwargs)
        self.decoder = ParallelDecoder(
            vocab_size=self.vocab_size,
            max_length=max_length,
            embed_dims=embed_dims,
            num_layers=num_layers,
            pad_id=self.special_ids['pad_id'],
            **kwargs,
        )
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Xavier on every matrix of the transformer, tables included; no bias in attention and gates."""
        for part in (self.encoder, self.decoder):
            for name, parameter in part.named_parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
                elif name.endswith(('_proj.bias', 'gate.bias')):
                    nn.init.zeros_(parameter)

    def memory(
        self,
        feats: Sequence[Tensor],
        regions: Sequence[Region | None] | None = None,
        shared: Mapping[str, Any] | None = None,
    ) -> VisualMemories:
        """Choose and project the cells.

        Args:
            feats: The levels, and behind them the attended top.
            regions: Not used; padding is not masked out.
            shared: ``o2o_cls_logits`` (B, N, C), ``sem_logits`` (B, S, h, w) and ``sem_feats`` (B, Cs, h, w).

        Returns:
            VisualMemories: grid (B, H/32 * W/32, D) and regions (B, S + num_regions, D).

        Raises:
            ValueError: Wrong number of feature maps, or ``shared`` lacks an entry.
        """
        levels = len(self.region_projections)
        if len(feats) != levels + 1:
            raise ValueError(
                f'the caption head needs {levels} levels and the attended top of the pyramid behind them, got '
                f'{len(feats)} feature maps; see attention of GELANPAFPN'
            )
        shared = shared or {}
        missing = [name for name in self.requires if name not in shared]
        if missing:
            raise ValueError(f'the caption head needs {missing} of the other heads')
        cells = flatten_levels(self.region_projections, feats)
        objectness = shared['o2o_cls_logits'].detach().amax(dim=2)
        # Sizes are symbols in torch.export, which has a minimum of its own, and tensors or numbers elsewhere.
        smaller = torch.sym_min if torch.compiler.is_compiling() else min
        best = objectness.topk(smaller(self.num_regions, objectness.shape[1]), dim=1).indices
        objects = cells.gather(1, best[..., None].expand(-1, -1, cells.shape[2]))
        classes = self._class_cells(shared['sem_feats'], shared['sem_logits'].detach())
        grid = self.encoder(self.grid_projection(feats[levels]).flatten(2).transpose(1, 2))
        return VisualMemories(grid, torch.cat([classes, objects], dim=1))

    def _class_cells(self, feats: Tensor, logits: Tensor) -> Tensor:
        """The projected cell where each semantic class is likeliest: (B, S, D)."""
        place = logits.flatten(2).argmax(dim=2)
        if self.training:
            # Batch norm takes its statistics over the whole map.
            picked = _pick(self.semantic_projection(feats), place)
        else:
            picked = self.semantic_projection(_pick(feats, place))
        # Not squeeze: its backward hands the norm a gradient whose strides torch 2.13 misreads on the CPU.
        return picked[..., 0].transpose(1, 2)


def _pick(x: Tensor, place: Tensor) -> Tensor:
    """Cells ``place`` (B, S) of x (B, C, H, W), as a map of one column: (B, C, S, 1)."""
    return x.flatten(2).gather(2, place[:, None].expand(-1, x.shape[1], -1))[..., None]
