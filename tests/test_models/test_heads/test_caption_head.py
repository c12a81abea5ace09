"""The caption head: sizes, memory and padding, loss, prediction, and learning."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample

from mmyolor_mtl.models.heads.caption_head import CaptionHead
from mmyolor_mtl.models.text.tokenizer import WordTokenizer
from mmyolor_mtl.registry import MODELS

CAPTIONS = ('A red square on grass', 'Two blue circles', 'A dog and a small cat', 'Nothing here')


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def tokenizer(tmp_path):
    WordTokenizer.build(CAPTIONS).save(tmp_path / 'vocab.txt')
    return dict(type='mmyolor_mtl.WordTokenizer', vocab_file=str(tmp_path / 'vocab.txt'))


def tiny(**kwargs):
    cfg = dict(
        in_channels=(6, 8),
        strides=(8, 16),
        embed_dims=32,
        num_layers=2,
        num_heads=4,
        feedforward_channels=64,
        mlp_channels=32,
        max_length=16,
        dropout=0.0,
    )
    return CaptionHead(**{**cfg, **({} if 'tokenizer' in kwargs else {'vocab_size': 20}), **kwargs})


def levels(batch=2, height=64, width=96):
    return tuple(torch.randn(batch, c, height // s, width // s) for c, s in ((6, 8), (8, 16)))


def samples(*captions, regions=None):
    made = []
    for i, ids in enumerate(captions):
        sample = DetDataSample()
        sample.gt_caption_ids = torch.tensor(ids)
        if regions:
            sample.set_metainfo(dict(caption_region=regions[i]))
        made.append(sample)
    return made


def test_parameter_counts_of_the_80m_model():
    """REFERENCE_SPEC 8.2."""
    head = MODELS.build(dict(type='mmyolor_mtl.CaptionHead', vocab_size=30522))
    assert sum(p.numel() for p in head.projections.parameters()) == 656_128
    assert sum(p.numel() for p in head.decoder.parameters()) == 9_473_024 + 7_846_912 + 16_052_026
    assert sum(p.numel() for p in head.parameters()) == 80_000_999 - 45_928_448 - 44_461
    assert (head.task, head.source) == ('cap', 'backbone')


def test_parameters_of_the_full_encoder_decoder():
    """REFERENCE_SPEC 2.6: CATR's encoder is what the paper leaves out."""
    sizes = [sum(p.numel() for p in CaptionHead(vocab_size=30522, num_encoder_layers=n).parameters()) for n in (0, 6)]
    assert sizes == [34_028_090, 34_028_090 + 7_890_944]


def detr_position(mask, feats=16):
    """Position of one image cell by cell, from the words of REFERENCE_SPEC 2.6; mask (H, W) -> (H * W, 2 * feats)."""
    height, width = mask.shape
    rows = []
    for i in range(height):
        for j in range(width):
            code = []
            for count, total in (
                (mask[: i + 1, j].sum(), mask[:, j].sum()),
                (mask[i, : j + 1].sum(), mask[i].sum()),
            ):
                angle = float(count) / (float(total) + 1e-6) * 2 * math.pi
                for k in range(feats // 2):
                    x = angle / 10000 ** (2 * k / feats)
                    code += [math.sin(x), math.cos(x)]
            rows.append(code)
    return torch.tensor(rows)


def test_some_of_the_levels_it_is_given():
    feats = levels()
    chosen = tiny(in_channels=(8,), strides=(16,), levels=(1,)).eval()
    alone = tiny(in_channels=(8,), strides=(16,)).eval()
    alone.load_state_dict(chosen.state_dict())
    assert torch.equal(chosen(feats)['cap_logits'], alone(feats[1:])['cap_logits'])
    with pytest.raises(ValueError, match='there are 1'):
        chosen.memory(feats[:1])
    with pytest.raises(ValueError, match='must name the same levels'):
        tiny(levels=(1,))


def test_memory_joins_levels_with_positions_and_regions():
    head, feats = tiny(), levels()
    memory = head.memory(feats, [(8, 17, 90, 64), None])
    assert memory.content.shape == (2, 8 * 12 + 4 * 6, 32)
    torch.testing.assert_close(memory.content[1, 96 + 7], head.projections[1](feats[1])[1, :, 1, 1])
    fine, coarse = memory.mask[0, :96].view(8, 12), memory.mask[0, 96:].view(4, 6)
    # A cell counts if it overlaps the region: rows from 17 // 8, columns 8 // 8 to 89 // 8.
    want = torch.zeros(8, 12, dtype=torch.bool)
    want[2:, 1:] = True
    assert torch.equal(fine, want)
    want = torch.zeros(4, 6, dtype=torch.bool)
    want[1:] = True
    assert torch.equal(coarse, want)
    assert memory.mask[1].all()
    torch.testing.assert_close(memory.position[0, :96], detr_position(fine), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(memory.position[1, 96:], detr_position(torch.ones(4, 6)), atol=1e-4, rtol=1e-4)


def test_memory_has_no_mask_where_none_is_needed():
    head, feats = tiny(), levels()
    assert head.memory(feats).mask is None
    whole = head.memory(feats, [(0, 0, 96, 64), None])
    assert whole.mask is None
    torch.testing.assert_close(whole.position[1:], head.memory(feats).position)


def test_encoder_works_on_the_joined_memory():
    head, feats = tiny(num_encoder_layers=2).eval(), levels()
    memory = head.memory(feats, [(8, 17, 90, 64), None])
    plain = tiny().eval()
    plain.load_state_dict(head.state_dict(), strict=False)
    before = plain.memory(feats, [(8, 17, 90, 64), None])
    torch.testing.assert_close(memory.content, head.encoder(before).content)
    assert not torch.allclose(memory.content, before.content, atol=1e-2)
    head.train().loss(feats, samples([2, 5, 6, 3], [2, 7, 3]))['loss_cap_ce'].backward()
    assert not [name for name, p in head.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize('num_encoder_layers', [0, 2])
def test_padding_changes_nothing(num_encoder_layers):
    """A picture letterboxed into a view gives the logits of the picture alone, whatever the padding holds."""
    head, small = tiny(num_encoder_layers=num_encoder_layers).eval(), levels(1, 32, 64)
    big = tuple(F.pad(f, (16 // s, 16 // s, 16 // s, 16 // s), value=9.0) for f, s in zip(small, (8, 16), strict=True))
    region = (16, 16, 80, 48)
    alone, padded = head.memory(small), head.memory(big, [region])
    tokens = torch.randint(20, (1, 6))
    torch.testing.assert_close(head.decoder(tokens, alone), head.decoder(tokens, padded), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(head.decoder(tokens, alone), head.decoder(tokens, head.memory(big)), atol=1e-3)

    losses = [
        head.loss(f, samples([2, 5, 6, 3], regions=[r]))['loss_cap_ce']
        for f, r in ((small, (0, 0, 64, 32)), (big, region))
    ]
    torch.testing.assert_close(*losses)
    results = []
    for feats, pad, shape in ((small, (0, 0, 0, 0), (32, 64)), (big, (16, 16, 16, 16), (64, 96))):
        sample = DetDataSample(metainfo=dict(pad_param=pad, img_shape=shape, ori_shape=(32, 64)))
        head.predict(feats, [sample])
        results.append((sample.pred_caption_ids.tolist(), pytest.approx(sample.pred_caption_score, abs=1e-4)))
    assert results[0] == results[1]


@pytest.mark.parametrize('region', [(96, 0, 120, 64), (0, 5, 96, 5)])
def test_empty_region_is_refused(region):
    with pytest.raises(ValueError, match='caption region'):
        tiny().memory(levels(), [None, region])


def test_loss_is_the_mean_over_all_words():
    head, feats = tiny(loss_weight=0.5).eval(), levels()
    captions = [[2, 5, 6, 7, 8, 3], [2, 9, 3]]
    got = head.loss(feats, samples(*captions))
    assert list(got) == ['loss_cap_ce']
    terms = []
    for i, ids in enumerate(captions):
        one = tuple(f[i : i + 1] for f in feats)
        log_probs = head.decoder(torch.tensor([ids[:-1]]), head.memory(one))[0].log_softmax(-1)
        terms += [-log_probs[t, word] for t, word in enumerate(ids[1:])]
    assert len(terms) == 7
    torch.testing.assert_close(got['loss_cap_ce'], 0.5 * torch.stack(terms).mean())


def test_label_smoothing():
    plain, smooth = tiny().eval(), tiny(label_smoothing=0.2).eval()
    smooth.load_state_dict(plain.state_dict())
    feats, data = levels(1), samples([2, 5, 6, 3])
    log_probs = plain.decoder(torch.tensor([[2, 5, 6]]), plain.memory(feats)).log_softmax(-1)
    want = 0.8 * plain.loss(feats, data)['loss_cap_ce'] - 0.2 * log_probs.mean()
    torch.testing.assert_close(smooth.loss(feats, data)['loss_cap_ce'], want)


def test_no_captions_give_a_zero_with_all_gradients():
    head = tiny()
    assert head.loss((), [])['loss_cap_ce'] == 0
    feats = tuple(f.requires_grad_() for f in levels(1))
    loss = head.loss(feats, [])['loss_cap_ce']
    loss.backward()
    assert loss == 0
    assert all(f.grad is not None and not f.grad.any() for f in feats)
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


def test_loss_reaches_every_parameter_and_the_features():
    head = tiny()
    feats = tuple(f.requires_grad_() for f in levels())
    head.loss(feats, samples([2, 5, 6, 3], [2, 7, 3]))['loss_cap_ce'].backward()
    assert all(f.grad.any() for f in feats)
    # A bias of the keys shifts all scores of a query alike, so its gradient is nothing but rounding.
    assert not [name for name, p in head.named_parameters() if p.grad is None or not p.grad.any()]


def test_several_captions_of_an_image_count_as_so_many_images():
    torch.manual_seed(0)
    head, feats = tiny().eval(), levels(2)
    first, second, third = [2, 5, 6, 3], [2, 7, 3], [2, 8, 9, 10, 3]
    padded = [first, [*second, 0]]
    together = head.loss(feats, samples(padded, third))['loss_cap_ce']
    doubled = [feat[[0, 0, 1]] for feat in feats]
    apart = head.loss(doubled, samples(first, second, third))['loss_cap_ce']
    assert torch.isclose(together, apart)


@pytest.mark.parametrize(
    ('ids', 'message'),
    [
        ([2, 20, 3], 'from 2 to 20.*vocab_size=20'),
        ([2, -1, 3], 'from -1 to 3'),
        ([2] * 18, r'shape \(18,\).*2 to 17'),
        ([2], r'shape \(1,\)'),
        ([[[2, 3]]], r'shape \(1, 1, 2\)'),
        ([[]], r'shape \(1, 0\)'),
    ],
)
def test_bad_captions(ids, message):
    with pytest.raises(ValueError, match=message):
        tiny().loss(levels(1), samples(ids))


def test_bad_batches():
    head = tiny()
    with pytest.raises(ValueError, match='a.jpg has no gt_caption_ids'):
        head.loss(levels(1), [DetDataSample(metainfo=dict(img_path='a.jpg'))])
    with pytest.raises(ValueError, match='1 data samples.*2 images'):
        head.loss(levels(2), samples([2, 3]))
    with pytest.raises(ValueError, match='built for 2 levels, got 1'):
        head.memory(levels()[:1])
    with pytest.raises(ValueError, match='3 regions do not fit 2'):
        head.memory(levels(), [None] * 3)


def test_longest_caption_fits():
    loss = tiny().loss(levels(1), samples([2, *[5] * 15, 3]))['loss_cap_ce']
    assert loss.isfinite()


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        (dict(vocab_size=None), 'needs a tokenizer'),
        (dict(strides=(8,)), 'strides'),
        (dict(source='body'), "source='body'"),
        (dict(embed_dims=30), 'embed_dims=30'),
        (dict(num_heads=5), 'num_heads=5'),
        (dict(num_encoder_layers=-1), 'num_encoder_layers=-1'),
        (dict(test_cfg=dict(beams=3)), 'beams.*beam_size'),
        (dict(test_cfg=dict(num_captions=4)), 'num_captions=4.*at most beam_size=3'),
        (dict(test_cfg=dict(num_captions=0)), 'num_captions=0'),
        (dict(test_cfg=dict(seed=1)), r"\['seed'\] mean nothing with top_p=None"),
        (dict(test_cfg=dict(top_p=0.9, beam_size=2)), r"\['beam_size'\] mean nothing with top_p=0.9"),
        (dict(test_cfg=dict(max_length=17)), 'max_length=17 exceeds max_length=16'),
    ],
)
def test_bad_arguments(bad, message):
    with pytest.raises(ValueError, match=message):
        tiny(**bad)


def test_vocabulary_comes_from_the_tokenizer(tokenizer):
    size = len(WordTokenizer.build(CAPTIONS))
    assert tiny(tokenizer=tokenizer).vocab_size == size
    assert tiny(tokenizer=tokenizer, vocab_size=size + 5).decoder.output[-1].out_features == size + 5
    with pytest.raises(ValueError, match=f'vocab_size=7.*{size}'):
        tiny(tokenizer=tokenizer, vocab_size=7)


@pytest.mark.parametrize('beam_size', [1, 3])
def test_predict_without_tokenizer_writes_ids(beam_size):
    head = tiny(test_cfg=dict(beam_size=beam_size, max_length=6)).eval()
    data = [DetDataSample(), DetDataSample()]
    feats = levels()
    head.predict(feats, data)
    for i, sample in enumerate(data):
        ids = sample.pred_caption_ids
        assert 1 <= len(ids) <= 6 and not set(ids.tolist()) & {0, 1, 2}
        assert 'pred_caption' not in sample
        one = tuple(f[i : i + 1] for f in feats)
        log_probs = head.decoder(torch.cat([torch.tensor([2]), ids[:-1]])[None], head.memory(one))[0].log_softmax(-1)
        assert sample.pred_caption_score == pytest.approx(log_probs.gather(1, ids[:, None]).mean().item(), abs=1e-5)


def mean_log_prob(head, feats, ids):
    log_probs = head.decoder(torch.cat([torch.tensor([2]), ids[:-1]])[None], head.memory(feats))[0].log_softmax(-1)
    return log_probs.gather(1, ids[:, None]).mean().item()


@pytest.mark.parametrize('test_cfg', [dict(beam_size=4), dict(top_p=0.9, temperature=0.8, seed=5)])
def test_several_captions_an_image(tokenizer, test_cfg):
    head = tiny(tokenizer=tokenizer, test_cfg=dict(num_captions=3, max_length=6, **test_cfg)).eval()
    data, feats = [DetDataSample(), DetDataSample()], levels()
    head.predict(feats, data)
    for i, sample in enumerate(data):
        assert len(sample.pred_captions) == len(sample.pred_caption_scores) == 3
        assert (sample.pred_caption, sample.pred_caption_score) == (
            sample.pred_captions[0],
            sample.pred_caption_scores[0],
        )
        one = tuple(f[i : i + 1] for f in feats)
        want = mean_log_prob(head, one, sample.pred_caption_ids)
        assert sample.pred_caption_score == pytest.approx(want, abs=1e-5)
    if 'top_p' in test_cfg:
        assert data[0].pred_caption_scores == sorted(data[0].pred_caption_scores, reverse=True)
    single = [DetDataSample()]
    head.test_cfg['num_captions'] = 1
    head.predict(tuple(f[:1] for f in feats), single)
    assert 'pred_captions' not in single[0] and 'pred_caption_scores' not in single[0]


def test_beams_that_hold_no_sentence_are_left_out():
    """Two words and an end: with no word twice there are but five sentences, of which one has no word."""
    head = tiny(vocab_size=6, test_cfg=dict(beam_size=10, num_captions=10, max_length=6, no_repeat_ngram=1)).eval()
    data = [DetDataSample()]
    head.predict(levels(1), data)
    assert len(data[0].pred_caption_scores) == 5
    assert all(math.isfinite(score) for score in data[0].pred_caption_scores)


def test_drawn_captions_depend_on_seed_and_image_alone():
    def draw(order, seed):
        head.test_cfg['seed'] = seed
        data = [DetDataSample(metainfo=dict(img_id=i)) for i in order]
        head.predict(tuple(f[order] for f in feats), data)
        return {sample.img_id: sample.pred_caption_ids.tolist() for sample in data}

    head, feats = tiny(test_cfg=dict(top_p=1.0, seed=0)).eval(), levels(4)
    together = draw([0, 1, 2, 3], 0)
    assert together == {**draw([3], 0), **draw([2, 0], 0), **draw([1], 0)}
    assert together != draw([0, 1, 2, 3], 1)


def test_the_unknown_word_is_written_only_where_it_is_allowed():
    head, feats = tiny(test_cfg=dict(beam_size=1)).eval(), levels(1)
    with torch.no_grad():
        head.decoder.output[-1].bias[1] = 50.0
    found = []
    for head.test_cfg['write_unknown'] in (False, True):
        data = [DetDataSample()]
        head.predict(feats, data)
        found.append(set(data[0].pred_caption_ids.tolist()))
    assert 1 not in found[0] and found[1] == {1}


BERT = ['[PAD]', *(f'[unused{i}]' for i in range(9)), '[UNK]', '[CLS]', '[SEP]', 'a', 'red', 'square', 'on', 'grass']


def test_any_tokenizer_serves():
    """Its ids of start, end and padding reach loss and search."""
    pytest.importorskip('tokenizers')
    head = tiny(tokenizer=dict(type='mmyolor_mtl.WordPieceTokenizer', tokens=BERT), max_length=16)
    assert head.special_ids == dict(pad_id=0, unk_id=10, bos_id=11, eos_id=12)
    ids, feats = head.tokenizer.encode('A red square on grass'), levels(1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for _ in range(40):
        loss = head.loss(feats, samples(ids))['loss_cap_ce']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    data = [DetDataSample()]
    head.eval().predict(feats, data)
    assert data[0].pred_caption == 'A red square on grass'
    assert data[0].pred_caption_ids.tolist() == ids[1:]


def test_forward_traces():
    head, feats = tiny().eval(), levels()
    traced = torch.jit.trace(head, (feats,), strict=False)
    other = levels()
    torch.testing.assert_close(traced(other)['cap_logits'], head(other)['cap_logits'])
    torch.testing.assert_close(head(other)['cap_logits'], head.decoder(torch.tensor([[2], [2]]), head.memory(other)))


def test_survives_init_weights_and_state_dict():
    head = tiny().eval()
    before = {k: v.clone() for k, v in head.state_dict().items()}
    head.init_weights()
    assert all(torch.equal(v, before[k]) for k, v in head.state_dict().items())
    twin = tiny().eval()
    twin.load_state_dict(before)
    feats = levels()
    assert torch.equal(twin(feats)['cap_logits'], head(feats)['cap_logits'])


def test_learns_four_captions_by_heart(tokenizer):
    head, feats = tiny(tokenizer=tokenizer, dropout=0.1), levels(4)
    words = WordTokenizer.build(CAPTIONS)
    data = samples(*[words.encode(c) for c in CAPTIONS])
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3)
    first = None
    for _ in range(120):
        loss = head.loss(feats, data)['loss_cap_ce']
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert first == pytest.approx(math.log(head.vocab_size), rel=0.15)
    assert loss < 0.1
    head.eval()
    # In another order, so the words must come from the picture.
    order = [2, 0, 3, 1]
    found = [DetDataSample() for _ in order]
    head.predict(tuple(f[order] for f in feats), found)
    assert [s.pred_caption for s in found] == [CAPTIONS[i] for i in order]
    assert all(-0.1 < s.pred_caption_score <= 0 for s in found)
