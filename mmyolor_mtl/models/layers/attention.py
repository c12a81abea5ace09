"""Multi-head attention whose keys and values can be kept between decoding steps."""

from torch import Tensor, nn
from torch.nn import functional as F

KeyValue = tuple[Tensor, Tensor]


class MultiHeadAttention(nn.Module):
    """Attention in two halves, so that what does not change is computed once.

    :meth:`project` turns a memory into keys and values; :meth:`forward` lets queries attend to them. Parameters equal
    those of ``nn.MultiheadAttention`` (four biased D x D projections: 263,168 for D = 256).

    Args:
        embed_dims: Model width D.
        num_heads: Number of heads; must divide D.
        dropout: Dropout of the attention weights while training.

    Raises:
        ValueError: ``num_heads`` does not divide ``embed_dims``.

    Examples:
        >>> import torch
        >>> attention = MultiHeadAttention(8, num_heads=2)
        >>> memory = torch.rand(1, 5, 8)
        >>> attention(torch.rand(1, 3, 8), attention.project(memory, memory)).shape
        torch.Size([1, 3, 8])
    """

    def __init__(self, embed_dims: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f'num_heads={num_heads} must divide embed_dims={embed_dims}')
        self.num_heads = num_heads
        self.dropout = dropout
        self.q_proj = nn.Linear(embed_dims, embed_dims)
        self.k_proj = nn.Linear(embed_dims, embed_dims)
        self.v_proj = nn.Linear(embed_dims, embed_dims)
        self.out_proj = nn.Linear(embed_dims, embed_dims)

    def _split(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, heads, N, D / heads)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def project(self, keys: Tensor, values: Tensor) -> KeyValue:
        """Project a memory of N places, both (B, N, D), to keys and values (B, heads, N, D / heads)."""
        return self._split(self.k_proj(keys)), self._split(self.v_proj(values))

    def forward(
        self, queries: Tensor, key_value: KeyValue, *, mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Attend.

        Args:
            queries: (B, T, D).
            key_value: What :meth:`project` returned.
            mask: Bool, broadcastable to (B, heads, T, N), True where a query may look. A query must see something.
            is_causal: Query t sees the places up to t only (then T = N and no ``mask``).

        Returns:
            (B, T, D).
        """
        out = F.scaled_dot_product_attention(
            self._split(self.q_proj(queries)),
            *key_value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=is_causal,
        )
        return self.out_proj(out.transpose(1, 2).flatten(2))


def reset_transformer(*parts: nn.Module) -> None:
    """Initialise as CATR does: Xavier on every matrix, tables of embeddings included; no bias in attention."""
    for part in parts:
        for parameter in part.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in part.modules():
            if isinstance(module, MultiHeadAttention):
                for linear in (module.q_proj, module.k_proj, module.v_proj, module.out_proj):
                    nn.init.zeros_(linear.bias)
