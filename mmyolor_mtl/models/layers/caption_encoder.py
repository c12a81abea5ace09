"""Transformer encoder in CATR's lineage, for captions by a full encoder-decoder (REFERENCE_SPEC 2.6)."""

from torch import Tensor, nn

from .attention import MultiHeadAttention, reset_transformer
from .caption_decoder import ImageMemory


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward; each ``x + dropout(f(norm(x)))``."""

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(embed_dims, num_heads, dropout)
        self.ffn = nn.Sequential(
            nn.Linear(embed_dims, feedforward_channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(feedforward_channels, embed_dims),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor | None) -> Tensor:
        """Run the layer: x (B, N, D), position for queries and keys (B, N, D), mask (B, 1, 1, N) or None."""
        y = self.norms[0](x)
        compared = y + position
        x = x + self.dropout(self.self_attn(compared, self.self_attn.project(compared, y), mask=mask))
        return x + self.dropout(self.ffn(self.norms[1](x)))


class CaptionEncoder(nn.Module):
    """Lets the places of an image look at each other before the decoder does; L layers and a final norm.

    With CATR's 6 layers it has 7,890,944 parameters. Time and memory grow with the square of the number of places.

    Args:
        embed_dims: Width D.
        num_layers: Layers L.
        num_heads: Attention heads.
        feedforward_channels: Width inside a layer's feed-forward.
        dropout: Dropout of attention weights and sub-layers.
    """

    def __init__(
        self,
        *,
        embed_dims: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(embed_dims, num_heads, feedforward_channels, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dims)
        reset_transformer(self.layers)

    def forward(self, memory: ImageMemory) -> ImageMemory:
        """Encode: the same places with new content (B, N, D)."""
        x = memory.content
        for layer in self.layers:
            x = layer(x, memory.position, memory.attention_mask)
        return memory._replace(content=self.norm(x))
