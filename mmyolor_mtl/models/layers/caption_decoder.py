"""Transformer text decoder in CATR's lineage, the caption head of the paper (REFERENCE_SPEC 2.6)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .attention import KeyValue, MultiHeadAttention, reset_transformer


class ImageMemory(NamedTuple):
    """What the decoder may look at: N places of B images.

    Attributes:
        content: Features (B, N, D).
        position: Position encoding, broadcastable to (B, N, D); belongs to the keys only.
        mask: Bool (B, N), True where a place shows the picture rather than padding; None if all do.
    """

    content: Tensor
    position: Tensor
    mask: Tensor | None = None

    @property
    def attention_mask(self) -> Tensor | None:
        """The mask as attention takes it, (B, 1, 1, N)."""
        return None if self.mask is None else self.mask[:, None, None]


class TokenEmbeddings(nn.Module):
    """Word plus learned position, normalised: (R, T) -> (R, T, D). BERT's epsilon of 1e-12."""

    def __init__(self, vocab_size: int, max_length: int, embed_dims: int, dropout: float, pad_id: int) -> None:
        super().__init__()
        self.word = nn.Embedding(vocab_size, embed_dims, padding_idx=pad_id)
        self.position = nn.Embedding(max_length, embed_dims)
        self.norm = nn.LayerNorm(embed_dims, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        """Embed tokens (R, T) that stand at the places whose rows of the table are ``position`` (T, D)."""
        return self.dropout(self.norm(self.word(tokens) + position))


class DecoderLayer(nn.Module):
    """Self-attention, attention to the image, feed-forward; each ``x + dropout(f(norm(x)))``."""

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(embed_dims, num_heads, dropout)
        self.cross_attn = MultiHeadAttention(embed_dims, num_heads, dropout)
        self.ffn = nn.Sequential(
            nn.Linear(embed_dims, feedforward_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(feedforward_channels, embed_dims),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, position: Tensor, image: KeyValue, image_mask: Tensor | None, past: KeyValue | None = None
    ) -> tuple[Tensor, KeyValue]:
        """Run the layer on R = B * K rows, the K rows of an image standing together.

        Args:
            x: (R, T, D); T = 1 where there is a ``past``.
            position: Query position (T, D).
            image: Keys and values of the B images.
            image_mask: (B, 1, 1, N) or None.
            past: Keys and values of the tokens before these.

        Returns:
            The new x, and the keys and values of all tokens so far.
        """
        y = self.norms[0](x)
        new = self.self_attn.project(y + position, y)
        seen = new if past is None else (torch.cat([past[0], new[0]], 2), torch.cat([past[1], new[1]], 2))
        x = x + self.dropout(self.self_attn(y + position, seen, is_causal=past is None))
        # To the image, the tokens of all K rows are just more queries: its keys and values are never repeated.
        y = (self.norms[1](x) + position).reshape(image[0].shape[0], -1, x.shape[-1])
        x = x + self.dropout(self.cross_attn(y, image, mask=image_mask).reshape(x.shape))
        x = x + self.dropout(self.ffn(self.norms[2](x)))
        return x, seen


class CaptionDecoder(nn.Module):
    """Text decoder: embeddings, L layers with a final norm, and an output MLP.

    The learned position table is used twice: added to the words, and as query position of every attention.

    Args:
        vocab_size: Vocabulary V.
        max_length: Rows of the position table, the longest input T.
        embed_dims: Width D.
        num_layers: Layers L.
        num_heads: Attention heads.
        feedforward_channels: Width inside a layer's feed-forward.
        mlp_channels: Width inside the output MLP D -> m -> m -> V.
        dropout: Dropout of attention weights, sub-layers and embeddings.
        pad_id: Id of the padding token.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        max_length: int = 128,
        embed_dims: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        mlp_channels: int = 512,
        dropout: float = 0.1,
        pad_id: int = 0,
    ) -> None:
        super().__init__()
        self.max_length = max_length
        self.embeddings = TokenEmbeddings(vocab_size, max_length, embed_dims, dropout, pad_id)
        self.layers = nn.ModuleList(
            DecoderLayer(embed_dims, num_heads, feedforward_channels, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dims)
        self.output = nn.Sequential(
            nn.Linear(embed_dims, mlp_channels),
            nn.ReLU(inplace=True),
            nn.Linear(mlp_channels, mlp_channels),
            nn.ReLU(inplace=True),
            nn.Linear(mlp_channels, vocab_size),
        )
        # The output MLP keeps PyTorch's default.
        reset_transformer(self.embeddings, self.layers)

    def project_memory(self, memory: ImageMemory) -> list[KeyValue]:
        """Keys and values of the image for each layer; all the work that depends on the image alone."""
        keys = memory.content + memory.position
        return [layer.cross_attn.project(keys, memory.content) for layer in self.layers]

    def hidden(self, tokens: Tensor, memory: ImageMemory) -> Tensor:
        """Teacher forcing: the states (R, T, D) after each of the tokens (R, T), each blind to those that follow.

        R = B * K rows, the K captions of an image standing together.
        Padding stands at the end, where no real token sees it, so it needs no mask.
        """
        length = tokens.shape[1]
        if length > self.max_length:
            raise ValueError(f'{length} tokens do not fit the position table: max_length={self.max_length}')
        position = self.embeddings.position.weight[:length]
        x = self.embeddings(tokens, position)
        for layer, image in zip(self.layers, self.project_memory(memory), strict=True):
            x, _ = layer(x, position, image, memory.attention_mask)
        return self.norm(x)

    def forward(self, tokens: Tensor, memory: ImageMemory) -> Tensor:
        """Teacher-forced logits (B, T, V) of the token that follows each of the tokens (B, T)."""
        return self.output(self.hidden(tokens, memory))

    def step(
        self,
        tokens: Tensor,
        place: Tensor,
        images: Sequence[KeyValue],
        image_mask: Tensor | None,
        past: Sequence[KeyValue | None],
    ) -> tuple[Tensor, list[KeyValue]]:
        """Append one token to each of R = B * K rows.

        Args:
            tokens: (R,).
            place: (1,) int64, how many tokens stand before it.
            images: What :meth:`project_memory` returned for the B images.
            image_mask: (B, 1, 1, N) or None.
            past: Keys and values of the tokens before, for each layer.

        Returns:
            The logits (R, V) of the next token, and the keys and values of all tokens so far.
        """
        position = self.embeddings.position(place)
        x = self.embeddings(tokens[:, None], position)
        seen = []
        for layer, image, before in zip(self.layers, images, past, strict=True):
            x, kept = layer(x, position, image, image_mask, before)
            seen.append(kept)
        return self.output(self.norm(x[:, 0])), seen

    def start(self, memory: ImageMemory) -> 'CachedDecoding':
        """Begin to write about the B images."""
        return CachedDecoding(self, memory)


class CachedDecoding:
    """One decoding run token by token; meets ``mmyolor_mtl.models.text.generation.Decoding``.

    The image is projected once for the whole run, and each step computes one new token a row.

    Args:
        decoder: The decoder.
        memory: Memory of B images.
    """

    def __init__(self, decoder: CaptionDecoder, memory: ImageMemory) -> None:
        self.decoder = decoder
        self.images = decoder.project_memory(memory)
        self.image_mask = memory.attention_mask
        self.past: Sequence[KeyValue | None] = [None] * len(self.images)
        self.length = 0

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each row, (R,); return the logits (R, V) of the next."""
        decoder = self.decoder
        if self.length >= decoder.max_length:
            raise ValueError(f'token {self.length + 1} is beyond the position table: max_length={decoder.max_length}')
        place = tokens.new_full((1,), self.length)
        logits, self.past = decoder.step(tokens, place, self.images, self.image_mask, self.past)
        self.length += 1
        return logits

    def reorder(self, rows: Tensor) -> None:
        """Continue with these rows (R',) of the present ones; the rows of an image stay together and in order."""
        self.past = [None if kv is None else (kv[0][rows], kv[1][rows]) for kv in self.past]
