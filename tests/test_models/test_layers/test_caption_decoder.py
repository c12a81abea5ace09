"""The text decoder: sizes, causality, and that caching changes nothing."""

import math

import pytest
import torch
from torch import nn

from mmyolor_mtl.models.layers.caption_decoder import CachedDecoding, CaptionDecoder, ImageMemory
from mmyolor_mtl.models.text.generation import generate


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def tiny(**kwargs):
    cfg = dict(vocab_size=23, max_length=12, embed_dims=32, num_layers=3, num_heads=4, feedforward_channels=48)
    decoder = CaptionDecoder(**{**cfg, 'mlp_channels': 24, **kwargs}).eval()
    for bias in (p for name, p in decoder.named_parameters() if name.endswith('bias')):
        nn.init.normal_(bias, std=0.3)
    nn.init.normal_(decoder.output[-1].weight)  # sharp enough that the words differ
    return decoder


def memory(batch=2, places=9, dims=32, masked=True):
    mask = torch.rand(batch, places) > 0.3
    mask[:, 0] = True
    return ImageMemory(torch.randn(batch, places, dims), torch.randn(1, places, dims), mask if masked else None)


class UncachedDecoding:
    """Meets ``Decoding`` the naive way: the whole sentence with its own copy of the image, at each step."""

    def __init__(self, decoder, memory):
        self.decoder, self.memory, self.tokens = decoder, memory, None

    def step(self, tokens):
        self.tokens = tokens[:, None] if self.tokens is None else torch.cat([self.tokens, tokens[:, None]], 1)
        beams = len(tokens) // len(self.memory.content)
        content, mask = self.memory.content, self.memory.mask
        rows = ImageMemory(
            content.repeat_interleave(beams, 0),
            self.memory.position,
            None if mask is None else mask.repeat_interleave(beams, 0),
        )
        return self.decoder(self.tokens, rows)[:, -1]

    def reorder(self, rows):
        self.tokens = self.tokens[rows]


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_parameter_counts_of_the_paper_s_decoder():
    """REFERENCE_SPEC 2.6, 8.2."""
    decoder = CaptionDecoder(vocab_size=30522)
    assert count(decoder.layers, decoder.norm) == 9_473_024
    assert count(decoder.embeddings) == 7_846_912
    assert count(decoder.output) == 16_052_026
    assert count(decoder) == 33_371_962


def test_equals_a_decoder_of_torch_layers():
    """Same weights in PyTorch's pre-norm layer; position zero, as PyTorch's layer knows no query position."""
    decoder = tiny(num_layers=1)
    with torch.no_grad():
        decoder.embeddings.position.weight.zero_()
    ours = decoder.layers[0]
    theirs = nn.TransformerDecoderLayer(32, 4, 48, 0.0, norm_first=True, batch_first=True).eval()
    state = {}
    for here, there in (('self_attn', 'self_attn'), ('cross_attn', 'multihead_attn')):
        attention = getattr(ours, here)
        for kind in ('weight', 'bias'):
            parts = [getattr(getattr(attention, p), kind) for p in ('q_proj', 'k_proj', 'v_proj')]
            state[f'{there}.in_proj_{kind}'] = torch.cat(parts)
            state[f'{there}.out_proj.{kind}'] = getattr(attention.out_proj, kind)
    for i, name in ((0, 'linear1'), (3, 'linear2')):
        state |= {f'{name}.{k}': v for k, v in ours.ffn[i].state_dict().items()}
    for i in range(3):
        state |= {f'norm{i + 1}.{k}': v for k, v in ours.norms[i].state_dict().items()}
    theirs.load_state_dict(state)

    tokens, image = torch.randint(23, (2, 6)), memory()._replace(position=torch.zeros(1, 1, 32))
    x = decoder.embeddings.norm(decoder.embeddings.word(tokens))
    causal = torch.ones(6, 6).triu(1).bool()
    x = theirs(x, image.content, tgt_mask=causal, memory_key_padding_mask=~image.mask)
    torch.testing.assert_close(decoder(tokens, image), decoder.output(decoder.norm(x)))


def test_position_table_is_query_position_too():
    """With equal rows of the table only the query position could make order matter less; it must reach attention."""
    decoder, image = tiny(), memory()
    tokens = torch.randint(23, (2, 5))
    before = decoder(tokens, image)
    with torch.no_grad():
        # A shift of all channels alike vanishes in the embeddings' LayerNorm but not in the queries and keys.
        decoder.embeddings.position.weight[2] += 3.0
    after = decoder(tokens, image)
    embedded = decoder.embeddings.norm(decoder.embeddings.position.weight[2] - 3.0)
    torch.testing.assert_close(embedded, decoder.embeddings.norm(decoder.embeddings.position.weight[2]))
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert (before[:, 2] - after[:, 2]).abs().max() > 1e-3


def test_position_of_the_memory_is_for_keys_only():
    decoder, image = tiny(), memory(places=1, masked=False)
    moved = image._replace(position=image.position + torch.randn(1, 1, 32))
    tokens = torch.randint(23, (2, 5))
    # One place gets all attention whatever its key is, so only its value shows.
    torch.testing.assert_close(decoder(tokens, image), decoder(tokens, moved))


def test_no_token_sees_its_future():
    decoder, image = tiny(), memory()
    tokens = torch.randint(23, (2, 8))
    other = tokens.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 23
    a, b = decoder(tokens, image), decoder(other, image)
    torch.testing.assert_close(a[:, :5], b[:, :5])
    assert (a[:, 5] - b[:, 5]).abs().max() > 1e-3


def test_masked_places_change_nothing():
    decoder, image = tiny(), memory()
    noise = torch.where(image.mask[..., None], image.content, torch.full_like(image.content, 50.0))
    tokens = torch.randint(23, (2, 4))
    torch.testing.assert_close(decoder(tokens, image), decoder(tokens, image._replace(content=noise)))
    assert not torch.allclose(decoder(tokens, image), decoder(tokens, image._replace(mask=None)))


@pytest.mark.parametrize('masked', [True, False])
def test_step_by_step_equals_teacher_forcing(masked):
    decoder, image = tiny(), memory(masked=masked)
    tokens = torch.randint(23, (2, 12))
    decoding = CachedDecoding(decoder, image)
    steps = torch.stack([decoding.step(tokens[:, t]) for t in range(12)], 1)
    torch.testing.assert_close(steps, decoder(tokens, image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('beam_size', [1, 4])
@pytest.mark.parametrize('masked', [True, False])
def test_cached_search_equals_uncached(beam_size, masked):
    decoder, image = tiny(), memory(batch=3, masked=masked)
    args = dict(eos_id=3, pad_id=0, beam_size=beam_size, max_length=12, suppress=(0, 2))
    cached, naive = (
        generate(d(decoder, image), torch.full((3,), 2), **args) for d in (CachedDecoding, UncachedDecoding)
    )
    assert torch.equal(cached.tokens, naive.tokens)
    torch.testing.assert_close(cached.scores, naive.scores)
    assert len(cached.tokens[:, 0].unique(dim=0)) == 3, 'all images got one sentence, the test shows little'


def test_wide_beam_finds_no_worse_sentence_than_greedy():
    decoder, image = tiny(), memory(batch=4)
    args = dict(eos_id=3, pad_id=0, max_length=6)
    scores = [
        generate(CachedDecoding(decoder, image), torch.full((4,), 2), beam_size=k, **args).scores[:, 0]
        for k in (1, 200)
    ]
    assert (scores[1] >= scores[0] - 1e-5).all() and (scores[1] > scores[0] + 1e-3).any()


def test_xavier_everywhere_but_in_the_output():
    decoder = CaptionDecoder(vocab_size=500, embed_dims=64, num_layers=1)
    for part in (decoder.embeddings, decoder.layers):
        for name, p in part.named_parameters():
            if p.dim() > 1:
                bound = math.sqrt(6 / sum(p.shape))
                assert 0.97 * bound < p.abs().max() <= bound, name
    for name, p in decoder.layers.named_parameters():
        if 'attn' in name and name.endswith('bias'):
            assert not p.any(), name


def test_too_long_is_refused():
    decoder, image = tiny(), memory()
    with pytest.raises(ValueError, match='13 tokens.*max_length=12'):
        decoder(torch.zeros(2, 13, dtype=torch.long), image)
    decoding = CachedDecoding(decoder, image)
    for _ in range(12):
        decoding.step(torch.tensor([1, 1]))
    with pytest.raises(ValueError, match='max_length=12'):
        decoding.step(torch.tensor([1, 1]))
