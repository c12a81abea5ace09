"""The attention module against PyTorch's own."""

import pytest
import torch
from torch import nn

from mmyolor_mtl.models.layers.attention import MultiHeadAttention


def pair(embed_dims=16, num_heads=4):
    """Ours and PyTorch's attention with the same weights."""
    torch.manual_seed(0)
    ours = MultiHeadAttention(embed_dims, num_heads).eval()
    theirs = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True).eval()
    with torch.no_grad():
        nn.init.normal_(theirs.in_proj_bias)
        for i, linear in enumerate((ours.q_proj, ours.k_proj, ours.v_proj)):
            linear.weight.copy_(theirs.in_proj_weight.chunk(3)[i])
            linear.bias.copy_(theirs.in_proj_bias.chunk(3)[i])
        ours.out_proj.load_state_dict(theirs.out_proj.state_dict())
    return ours, theirs


def test_equals_torch_with_separate_keys_values_and_mask():
    ours, theirs = pair()
    q, k, v = torch.randn(2, 3, 16), torch.randn(2, 7, 16), torch.randn(2, 7, 16)
    valid = torch.rand(2, 7) > 0.4
    valid[:, 0] = True
    want, _ = theirs(q, k, v, key_padding_mask=~valid)
    torch.testing.assert_close(ours(q, ours.project(k, v), mask=valid[:, None, None]), want)


def test_causal_equals_torch_and_one_by_one():
    ours, theirs = pair()
    x = torch.randn(2, 5, 16)
    want, _ = theirs(x, x, x, attn_mask=torch.ones(5, 5).triu(1).bool())
    got = ours(x, ours.project(x, x), is_causal=True)
    torch.testing.assert_close(got, want)
    keys, values = ours.project(x, x)
    for t in range(5):
        step = ours(x[:, t : t + 1], (keys[:, :, : t + 1], values[:, :, : t + 1]))
        torch.testing.assert_close(step[:, 0], got[:, t])


def test_number_of_parameters():
    assert sum(p.numel() for p in MultiHeadAttention(256, 8).parameters()) == 263_168


def test_dropout_only_while_training():
    attention = MultiHeadAttention(16, 4, dropout=0.5)
    x = torch.randn(1, 6, 16)
    memory = attention.project(x, x)
    assert not torch.equal(attention(x, memory), attention(x, memory))
    attention.eval()
    assert torch.equal(attention(x, memory), attention(x, memory))


def test_heads_must_divide_width():
    with pytest.raises(ValueError, match='num_heads=3.*embed_dims=16'):
        MultiHeadAttention(16, 3)
