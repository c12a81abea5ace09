"""The encoder of the full encoder-decoder: size, equality with PyTorch's layers, padding."""

import pytest
import torch
from torch import nn

from mmyolor_mtl.models.layers.caption_decoder import ImageMemory
from mmyolor_mtl.models.layers.caption_encoder import CaptionEncoder

from ..helpers import count


def tiny(**kwargs):
    torch.manual_seed(0)
    encoder = CaptionEncoder(embed_dims=32, num_heads=4, feedforward_channels=48, **{'num_layers': 2, **kwargs}).eval()
    for bias in (p for name, p in encoder.named_parameters() if name.endswith('bias')):
        nn.init.normal_(bias, std=0.3)
    return encoder


def memory(batch=2, places=9, masked=True):
    mask = torch.rand(batch, places) > 0.3
    mask[:, 0] = True
    return ImageMemory(torch.randn(batch, places, 32), torch.randn(batch, places, 32), mask if masked else None)


def test_parameters_of_catr():
    """REFERENCE_SPEC 2.6."""
    encoder = CaptionEncoder()
    assert count(encoder) == 7_890_944
    attention = encoder.layers[0].self_attn
    assert not attention.q_proj.bias.any() and attention.q_proj.weight.abs().max() <= (6 / 512) ** 0.5


@pytest.mark.parametrize('masked', [True, False])
def test_equals_torch_layers_without_positions(masked):
    encoder, image = tiny(), memory(masked=masked)
    image = image._replace(position=torch.zeros_like(image.position))
    x = image.content
    for ours in encoder.layers:
        theirs = nn.TransformerEncoderLayer(32, 4, 48, 0.0, norm_first=True, batch_first=True).eval()
        state = {}
        for kind in ('weight', 'bias'):
            parts = [getattr(getattr(ours.self_attn, p), kind) for p in ('q_proj', 'k_proj', 'v_proj')]
            state[f'self_attn.in_proj_{kind}'] = torch.cat(parts)
            state[f'self_attn.out_proj.{kind}'] = getattr(ours.self_attn.out_proj, kind)
        for i, name in ((0, 'linear1'), (3, 'linear2')):
            state |= {f'{name}.{k}': v for k, v in ours.ffn[i].state_dict().items()}
        for i in range(2):
            state |= {f'norm{i + 1}.{k}': v for k, v in ours.norms[i].state_dict().items()}
        theirs.load_state_dict(state)
        x = theirs(x, src_key_padding_mask=None if image.mask is None else ~image.mask)
    want = encoder.norm(x)
    got = encoder(image).content
    real = torch.ones(2, 9, dtype=torch.bool) if image.mask is None else image.mask
    torch.testing.assert_close(got[real], want[real], rtol=1e-4, atol=1e-5)


def test_position_is_for_queries_and_keys_only():
    """With one place its own value is all there is to read, wherever it lies."""
    encoder, image = tiny(), memory(places=1, masked=False)
    moved = image._replace(position=image.position + torch.randn(2, 1, 32))
    torch.testing.assert_close(encoder(image).content, encoder(moved).content)
    several = memory(masked=False)
    moved = several._replace(position=several.position + torch.randn(2, 9, 32))
    assert not torch.allclose(encoder(several).content, encoder(moved).content, atol=1e-3)


def test_padding_changes_nothing():
    encoder, image = tiny(), memory()
    noise = image._replace(content=torch.where(image.mask[..., None], image.content, 9.0))
    got, other = encoder(image), encoder(noise)
    torch.testing.assert_close(got.content[image.mask], other.content[image.mask])
    assert torch.equal(got.position, image.position) and torch.equal(got.mask, image.mask)
