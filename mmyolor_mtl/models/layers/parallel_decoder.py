"""Caption network in GRIT's lineage, which GYOLO releases: grid encoder and parallel decoder (REFERENCE_SPEC 2.5).

Everything is post-norm: ``norm(x + dropout(f(x)))``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .attention import KeyValue, MultiHeadAttention


class VisualMemories(NamedTuple):
    """The two memories that a word attends to, of B images.

    Attributes:
        grid: Cells of the whole picture (B, N, D), behind the grid encoder.
        regions: Cells of single objects and classes (B, M, D).
    """

    grid: Tensor
    regions: Tensor


class PostNormAttention(nn.Module):
    """Attention with its residual and norm. Queries (B, T, D) and a projected memory -> (B, T, D)."""

    def __init__(self, embed_dims: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(embed_dims, num_heads, dropout)
        self.norm = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)

    def project(self, memory: Tensor) -> KeyValue:
        """Keys and values of a memory (B, N, D)."""
        return self.attention.project(memory, memory)

    def forward(self, x: Tensor, memory: KeyValue, mask: Tensor | None = None) -> Tensor:
        """Attend, add, normalise."""
        return self.norm(x + self.dropout(self.attention(x, memory, mask=mask)))


class PostNormFeedForward(nn.Module):
    """Two linear layers with their residual and norm: (..., D) -> (..., D)."""

    def __init__(self, embed_dims: int, feedforward_channels: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(embed_dims, feedforward_channels)
        self.fc2 = nn.Linear(feedforward_channels, embed_dims)
        self.norm = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Transform, add, normalise."""
        return self.norm(x + self.dropout(self.fc2(self.dropout(self.fc1(x).relu()))))


class GridEncoder(nn.Module):
    """Project the cells of a map to the model's width and let them look at each other.

    Args:
        in_channels: Channels C of a cell.
        embed_dims: Width D.
        num_layers: Layers of attention and feed-forward.
        num_heads: Attention heads.
        feedforward_channels: Width inside the feed-forward.
        dropout: Dropout of attention weights and sub-layers.

    Shapes:
        (B, N, C) -> (B, N, D)
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int,
        *,
        num_layers: int,
        num_heads: int,
        feedforward_channels: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, embed_dims)
        self.norm = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)
        self.attentions = nn.ModuleList(PostNormAttention(embed_dims, num_heads, dropout) for _ in range(num_layers))
        self.ffns = nn.ModuleList(
            PostNormFeedForward(embed_dims, feedforward_channels, dropout) for _ in range(num_layers)
        )

    def forward(self, cells: Tensor) -> Tensor:
        """Encode."""
        x = self.norm(self.dropout(self.fc(cells).relu()))
        for attention, ffn in zip(self.attentions, self.ffns, strict=True):
            x = ffn(attention(x, attention.project(x)))
        return x


class ParallelLayer(nn.Module):
    """Self-attention, then attention to both memories side by side, gated and summed, then feed-forward."""

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = PostNormAttention(embed_dims, num_heads, dropout)
        self.grid_attn = PostNormAttention(embed_dims, num_heads, dropout)
        self.region_attn = PostNormAttention(embed_dims, num_heads, dropout)
        self.gate = nn.Linear(2 * embed_dims, embed_dims)
        # The released networks carry a second gate that nothing reads. It is kept, frozen, so that checkpoints go both
        # ways without loss.
        self.unused_gate = nn.Linear(2 * embed_dims, embed_dims).requires_grad_(False)
        self.ffn = PostNormFeedForward(embed_dims, feedforward_channels, dropout)

    def project(self, memories: VisualMemories) -> tuple[KeyValue, KeyValue]:
        """Keys and values of both memories."""
        return self.grid_attn.project(memories.grid), self.region_attn.project(memories.regions)

    def look(self, x: Tensor, images: tuple[KeyValue, KeyValue], keep: Tensor | None = None) -> Tensor:
        """Attend to the images and transform.

        Args:
            x: States (R, T, D) behind the self-attention; the rows of an image stand together.
            images: Keys and values of both memories of the B images.
            keep: (R, T, 1), 0 where a state is padding, or None.
        """
        rows = x.reshape(images[0][0].shape[0], -1, x.shape[-1])
        keep = torch.ones((), device=x.device) if keep is None else keep
        streams = [
            attend(rows, image).reshape(x.shape) * keep
            for attend, image in zip((self.grid_attn, self.region_attn), images, strict=True)
        ]
        gated = sum(stream * torch.sigmoid(self.gate(torch.cat([x, stream], dim=-1))) for stream in streams)
        return self.ffn(gated / 2**0.5 * keep) * keep


class ParallelDecoder(nn.Module):
    """Text decoder over two memories: embeddings, L parallel layers, an output projection without bias.

    Args:
        vocab_size: Vocabulary V.
        max_length: Longest input T; the position table has one row more, row 0 for padding.
        embed_dims: Width D.
        num_layers: Layers L.
        num_heads: Attention heads.
        feedforward_channels: Width inside a layer's feed-forward.
        dropout: Dropout of attention weights and sub-layers.
        pad_id: Id of the padding token.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        max_length: int,
        embed_dims: int,
        num_layers: int,
        num_heads: int,
        feedforward_channels: int,
        dropout: float,
        pad_id: int,
    ) -> None:
        super().__init__()
        self.max_length = max_length
        self.pad_id = pad_id
        self.word = nn.Embedding(vocab_size, embed_dims)
        # A table that is never trained, as released; checkpoints bring theirs.
        self.position = nn.Embedding(max_length + 1, embed_dims).requires_grad_(False)
        self.layers = nn.ModuleList(
            ParallelLayer(embed_dims, num_heads, feedforward_channels, dropout) for _ in range(num_layers)
        )
        self.output = nn.Linear(embed_dims, vocab_size, bias=False)

    def hidden(self, tokens: Tensor, memories: VisualMemories) -> Tensor:
        """Teacher forcing: the states (R, T, D) after each of the tokens (R, T), each blind to those that follow.

        R = B * K rows, the K captions of an image standing together. States of padding are zero.

        Raises:
            ValueError: More tokens than the position table has rows.
        """
        length = tokens.shape[1]
        if length > self.max_length:
            raise ValueError(f'{length} tokens do not fit the position table: max_length={self.max_length}')
        real = tokens != self.pad_id
        keep = real[..., None].to(self.word.weight.dtype)
        place = torch.arange(1, length + 1, device=tokens.device) * real
        x = self.word(tokens) + self.position(place)
        square = torch.ones(length, length, dtype=torch.bool, device=tokens.device)
        # A padded token may look at itself: attention to nothing would be undefined.
        mask = (square.tril() & real[:, None]) | square.diag().diag()
        for layer in self.layers:
            x = layer.self_attn(x, layer.self_attn.project(x), mask[:, None]) * keep
            x = layer.look(x, layer.project(memories), keep)
        return x

    def forward(self, tokens: Tensor, memories: VisualMemories) -> Tensor:
        """Teacher-forced logits (R, T, V) of the token that follows each of the tokens (R, T)."""
        return self.output(self.hidden(tokens, memories))

    def step(
        self,
        tokens: Tensor,
        place: Tensor,
        images: Sequence[tuple[KeyValue, KeyValue]],
        past: Sequence[KeyValue | None],
    ) -> tuple[Tensor, list[KeyValue]]:
        """Append one token to each of R = B * K rows.

        Args:
            tokens: (R,).
            place: (1,) int64, how many tokens stand before it.
            images: Keys and values of both memories of the B images, for each layer.
            past: Keys and values of the tokens before, for each layer.

        Returns:
            The logits (R, V) of the next token, and the keys and values of all tokens so far.
        """
        x = (self.word(tokens) + self.position(place + 1))[:, None]
        seen = []
        for layer, image, before in zip(self.layers, images, past, strict=True):
            new = layer.self_attn.project(x)
            if before is not None:
                new = torch.cat([before[0], new[0]], 2), torch.cat([before[1], new[1]], 2)
            x = layer.look(layer.self_attn(x, new), image)
            seen.append(new)
        return self.output(x[:, 0]), seen

    def start(self, memories: VisualMemories) -> 'ParallelDecoding':
        """Begin to write about the B images."""
        return ParallelDecoding(self, memories)


class ParallelDecoding:
    """One decoding run token by token; meets ``mmyolor_mtl.models.text.generation.Decoding``.

    The images are projected once for the whole run, and each step computes one new token a row.

    Args:
        decoder: The decoder.
        memories: Memories of B images.
    """

    def __init__(self, decoder: ParallelDecoder, memories: VisualMemories) -> None:
        self.decoder = decoder
        self.images = [layer.project(memories) for layer in decoder.layers]
        self.past: Sequence[KeyValue | None] = [None] * len(self.images)
        self.length = 0

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each row, (R,); return the logits (R, V) of the next."""
        decoder = self.decoder
        if self.length >= decoder.max_length:
            raise ValueError(f'token {self.length + 1} is beyond the position table: max_length={decoder.max_length}')
        logits, self.past = decoder.step(tokens, tokens.new_full((1,), self.length), self.images, self.past)
        self.length += 1
        return logits

    def reorder(self, rows: Tensor) -> None:
        """Continue with these rows (R',) of the present ones; the rows of an image stay together and in order."""
        self.past = [None if kv is None else (kv[0][rows], kv[1][rows]) for kv in self.past]
