"""GYOLO's caption head: what it looks at, what gets gradients, and that it learns and writes."""

import pytest
import torch
from mmdet.structures import DetDataSample

from mmyolor_mtl.models.heads import RegionCaptionHead
from mmyolor_mtl.models.text.generation import generate

from ..helpers import count

SIZES = ((8, 12), (4, 6), (2, 3))


def tiny(**kwargs):
    torch.manual_seed(0)
    cfg = dict(
        in_channels=(8, 16, 16),
        grid_channels=16,
        semantic_channels=8,
        num_regions=10,
        embed_dims=16,
        num_heads=2,
        feedforward_channels=32,
        max_length=10,
        vocab_size=15,
    )
    return RegionCaptionHead(**{**cfg, **kwargs})


def inputs(batch=2):
    feats = [torch.randn(batch, c, *size) for c, size in zip((8, 16, 16), SIZES, strict=True)]
    feats.append(torch.randn(batch, 16, 2, 3))
    shared = dict(
        o2o_cls_logits=torch.randn(batch, sum(h * w for h, w in SIZES), 4),
        sem_logits=torch.randn(batch, 5, 16, 24),
        sem_feats=torch.randn(batch, 8, 16, 24),
    )
    return feats, shared


def samples(*captions):
    made = [DetDataSample() for _ in captions]
    for sample, ids in zip(made, captions, strict=True):
        sample.set_field(torch.tensor(ids), 'gt_caption_ids')
    return made


def test_parameters_of_the_reference():
    head = RegionCaptionHead(vocab_size=10202)
    assert count(head) == 8_418_304
    assert count(head.region_projections) == 527_360
    assert count(head.grid_projection) == 526_336 and count(head.semantic_projection) == 132_096
    assert count(head.encoder) == 658_944 and count(head.decoder) == 6_573_568
    assert count(head.decoder.layers) == 1_317_120


def test_initial_values():
    """REFERENCE_SPEC 2.5: Xavier on every matrix, the frozen position table among them."""
    decoder = RegionCaptionHead(vocab_size=10202).decoder
    assert float(decoder.word.weight.abs().max()) == pytest.approx(0.02395, abs=1e-4)
    assert float(decoder.position.weight.abs().max()) == pytest.approx(0.12484, abs=1e-4)
    assert not decoder.position.weight.requires_grad
    assert not decoder.layers[0].gate.bias.any() and not decoder.layers[0].self_attn.attention.q_proj.bias.any()


def test_memories_hold_the_likeliest_cells():
    head = tiny().eval()
    feats, shared = inputs()
    shared['o2o_cls_logits'][0, 7, 2] = 99  # a cell of the first level
    shared['o2o_cls_logits'][0, 96 + 5, 0] = 98  # and one of the second
    shared['sem_logits'][1, 3, 10, 20] = 99
    memory = head.memory(feats, shared=shared)
    assert memory.grid.shape == (2, 6, 16) and memory.regions.shape == (2, 5 + 10, 16)
    first, second = (head.region_projections[i](feats[i]).flatten(2) for i in range(2))
    assert torch.allclose(memory.regions[0, 5], first[0, :, 7], atol=1e-6)
    assert torch.allclose(memory.regions[0, 6], second[0, :, 5], atol=1e-6)
    semantic = head.semantic_projection(shared['sem_feats'])
    assert torch.allclose(memory.regions[1, 3], semantic[1, :, 10, 20], atol=1e-6)


def test_small_inputs_have_fewer_regions():
    assert tiny(num_regions=500).memory(inputs()[0], shared=inputs()[1]).regions.shape == (2, 5 + 126, 16)


def test_choosing_gets_no_gradient_and_what_is_chosen_does():
    head = tiny().train()
    feats, shared = inputs()
    feats = [x.requires_grad_() for x in feats]
    shared = {name: value.requires_grad_() for name, value in shared.items()}
    head.loss(feats, samples([2, 5, 6, 3], [2, 7, 3]), shared)['loss_cap_ce'].backward()
    assert shared['o2o_cls_logits'].grad is None and shared['sem_logits'].grad is None
    assert shared['sem_feats'].grad.abs().sum() > 0 and all(x.grad.abs().sum() > 0 for x in feats)
    for name, parameter in head.named_parameters():
        assert (parameter.grad is None) == (not parameter.requires_grad), name


def test_gradients_do_not_depend_on_when_the_cells_are_picked():
    """Evaluation picks semantic cells before it projects them, training after: the same for a norm that is fixed."""
    head = tiny(dropout=0.0).eval()
    gradients = []
    for training in (False, True):
        torch.manual_seed(1)
        feats, shared = inputs()
        shared['sem_feats'].requires_grad_()
        head.training = training
        head.loss(feats, samples([2, 5, 6, 3], [2, 7, 3]), shared)['loss_cap_ce'].backward()
        gradients.append(shared['sem_feats'].grad)
    assert torch.allclose(*gradients, atol=1e-7) and gradients[0].any()


def test_loss_counts_words_not_padding_and_shares_images():
    head = tiny(dropout=0.0, loss_weight=1.0).eval()
    feats, shared = inputs(1)
    short, long = [2, 5, 3], [2, 7, 8, 9, 3]
    both = torch.zeros(2, 5, dtype=torch.long)
    both[0, :3], both[1] = torch.tensor(short), torch.tensor(long)
    losses = [
        float(head.loss(feats, samples(ids), shared)['loss_cap_ce'].detach()) for ids in (short, long, both.tolist())
    ]
    assert losses[2] == pytest.approx((2 * losses[0] + 4 * losses[1]) / 6, rel=1e-5)


def test_images_with_different_numbers_of_captions():
    """Rows of padding alone attend to themselves: nothing becomes nan."""
    head = tiny().train()
    feats, shared = inputs()
    loss = head.loss(feats, samples([[2, 5, 3], [2, 6, 3]], [[2, 7, 3]]), shared)['loss_cap_ce']
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def test_search_equals_teacher_forcing():
    """Token by token with kept keys gives the scores of one pass over the whole sentence."""
    head = tiny().eval()
    feats, shared = inputs()
    memory = head.memory(feats, shared=shared)
    found = generate(
        head.decoder.start(memory), torch.full((2,), 2), eos_id=3, pad_id=0, beam_size=3, max_length=8, suppress=(0,)
    )
    for row in range(2):
        tokens = found.tokens[row, 0]
        length = int((tokens == 3).float().argmax()) + 1 if (tokens == 3).any() else len(tokens)
        given = torch.cat([torch.tensor([2]), tokens[: length - 1]])[None]
        one = type(memory)(memory.grid[row : row + 1], memory.regions[row : row + 1])
        log_probs = head.decoder(given, one).log_softmax(-1)
        expected = log_probs[0].gather(1, tokens[:length, None])[:, 0]
        assert torch.allclose(found.log_probs[row, 0, :length], expected, atol=1e-5)


def test_it_learns_a_sentence_a_picture_and_writes_it():
    head = tiny(dropout=0.0, loss_weight=1.0).train()
    feats, shared = inputs()
    captions = [[2, 5, 6, 7, 3], [2, 8, 9, 3]]
    optimizer = torch.optim.Adam([p for p in head.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(80):
        loss = head.loss(feats, samples(*captions), shared)['loss_cap_ce']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1
    head.train()  # the norms of a batch, on which it learned
    found = samples(*captions)
    for sample in found:
        sample.set_metainfo(dict(img_shape=(64, 96)))
    head.predict(feats, found, shared)
    assert [sample.pred_caption_ids.tolist() for sample in found] == [ids[1:] for ids in captions]


def test_any_tokenizer_serves():
    """Start, end and padding of a vocabulary that numbers them in its own way."""
    pytest.importorskip('tokenizers')
    tokens = ['a', 'red', 'square', '[UNK]', '[PAD]', '[CLS]', '[SEP]']
    tokenizer = dict(type='mmyolor_mtl.WordPieceTokenizer', tokens=tokens)
    head = tiny(dropout=0.0, loss_weight=1.0, vocab_size=None, tokenizer=tokenizer).train()
    assert (head.vocab_size, head.decoder.pad_id) == (7, 4)
    feats, shared = inputs()
    captions = [head.tokenizer.encode('A red square'), [*head.tokenizer.encode('A square'), 4]]
    optimizer = torch.optim.Adam([p for p in head.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(80):
        loss = head.loss(feats, samples(*captions), shared)['loss_cap_ce']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = [DetDataSample(metainfo=dict(img_shape=(64, 96))) for _ in captions]
    head.predict(feats, found, shared)
    assert [sample.pred_caption for sample in found] == ['A red square', 'A square']


def test_bad_input():
    head = tiny()
    feats, shared = inputs()
    with pytest.raises(ValueError, match='needs 3 levels and the attended top of the pyramid behind them, got 3'):
        head.memory(feats[:3], shared=shared)
    with pytest.raises(ValueError, match=r"needs \['sem_feats'\] of the other heads"):
        head.memory(feats, shared={name: value for name, value in shared.items() if name != 'sem_feats'})
    with pytest.raises(ValueError, match='num_regions must be at least 1'):
        tiny(num_regions=0)
    with pytest.raises(ValueError, match='max_length=10'):
        head.decoder.hidden(torch.ones(1, 11, dtype=torch.long), head.memory(feats, shared=shared))
