"""Captions trained by their CIDEr, with the real decoder."""

import json

import pytest
import torch
from mmdet.structures import DetDataSample

from mmyolor_mtl.models.losses import SelfCriticalLoss
from mmyolor_mtl.models.losses.self_critical import sentence_log_probs
from mmyolor_mtl.models.text import WordTokenizer
from mmyolor_mtl.registry import MODELS

CAPTIONS = {
    1: ['a red car on the road', 'a car on a grey road'],
    2: ['a dog in the grass', 'one dog in green grass'],
    3: ['two birds in a blue sky', 'birds in the sky'],
}


@pytest.fixture
def caption_file(tmp_path):
    annotations = [dict(image_id=i, caption=text) for i, texts in CAPTIONS.items() for text in texts]
    path = tmp_path / 'captions.json'
    path.write_text(json.dumps(dict(images=[dict(id=i) for i in CAPTIONS], annotations=annotations)))
    return path


@pytest.fixture
def head(tmp_path):
    torch.manual_seed(0)
    vocab = tmp_path / 'vocab.txt'
    WordTokenizer.build(text for texts in CAPTIONS.values() for text in texts).save(vocab)
    made = MODELS.build(
        dict(
            type='mmyolor_mtl.CaptionHead',
            in_channels=(8,),
            strides=(8,),
            embed_dims=32,
            num_layers=1,
            num_heads=2,
            feedforward_channels=32,
            mlp_channels=32,
            dropout=0.0,
            max_length=16,
            tokenizer=dict(type='mmyolor_mtl.WordTokenizer', vocab_file=str(vocab)),
        )
    )
    made.init_weights()
    return made


@pytest.fixture
def feats():
    return (torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(1)),)


def samples():
    made = []
    for i in (1, 2):
        sample = DetDataSample()
        sample.gt_captions = CAPTIONS[i]
        made.append(sample)
    return made


def test_rewards_are_the_score_of_the_metric(head, caption_file):
    loss = SelfCriticalLoss(str(caption_file), max_length=8)
    right, wrong = (head.tokenizer.encode(text, 10)[1:] for text in ('a red car on the road', 'birds in the grass'))
    tokens = torch.zeros(1, 2, 8, dtype=torch.long)
    tokens[0, 0, : len(right)], tokens[0, 1, : len(wrong)] = torch.tensor(right), torch.tensor(wrong)
    references = [[text.split() for text in CAPTIONS[1]]]
    rewards = loss.rewards(head, tokens, references)
    assert rewards.shape == (1, 2) and rewards[0, 0] > 4 > 1 > rewards[0, 1] >= 0
    expected = loss._cider([CAPTIONS[1][0].split()], references)
    assert float(rewards[0, 0]) == pytest.approx(float(expected[0]))


def test_log_probabilities_are_those_of_single_steps(head, feats):
    head.eval()
    memory = head.memory(feats)
    tokens = torch.tensor([[[5, 6, 3, 0], [7, 3, 0, 0]], [[4, 4, 8, 3], [3, 0, 0, 0]]])
    found = sentence_log_probs(head, memory, tokens)
    decoding = head.decoder.start(memory)
    decoding.reorder(torch.tensor([0, 0, 1, 1]))
    last, total = torch.full((4,), 2), torch.zeros(4)
    for place in range(4):
        log_probs = decoding.step(last).log_softmax(-1)
        last = tokens.flatten(0, 1)[:, place]
        total += log_probs.gather(1, last[:, None])[:, 0] * (last != 0)
    assert torch.allclose(found.flatten(), total, atol=1e-5) and found.requires_grad


@pytest.mark.parametrize('search', ['beam', 'sample'])
def test_training_raises_the_reward(head, feats, caption_file, search):
    torch.manual_seed(2)
    loss = SelfCriticalLoss(str(caption_file), num_captions=6, search=search, max_length=8)
    optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
    # A few steps of likelihood first: from nothing no sentence scores.
    for sample in (warm := samples()):
        rows = [head.tokenizer.encode(text, 10) for text in sample.gt_captions]
        sample.gt_caption_ids = torch.tensor([row + [0] * (10 - len(row)) for row in rows])
    for _ in range(18):
        optimizer.zero_grad()
        head.loss(feats, warm)['loss_cap_ce'].backward()
        optimizer.step()

    def reward():
        with torch.no_grad():
            tokens = loss._search(head, head.memory(feats), 2, beam_size=1)
        return float(loss.rewards(head, tokens, [[t.split() for t in CAPTIONS[i]] for i in (1, 2)]).mean())

    before = reward()
    head.self_critical = loss
    for _ in range(80):
        optimizer.zero_grad()
        losses = head.loss(feats, samples())
        assert set(losses) == {'loss_cap_scst'}
        losses['loss_cap_scst'].backward()
        optimizer.step()
    assert reward() > before + 0.5


def test_loss_compares_with_the_baseline(head, feats, caption_file):
    references = [[text.split() for text in CAPTIONS[i]] for i in (1, 2)]
    tokens = torch.tensor([head.tokenizer.encode(text, 10)[1:] for text in ('a red car', 'birds in grass')])[None]
    tokens = tokens.repeat(2, 1, 1)
    greedy = torch.tensor([head.tokenizer.encode('a car', 10)[1:]])[None].repeat(2, 1, 1)
    memory = head.memory(feats)
    for baseline in ('mean', 'greedy'):
        loss = SelfCriticalLoss(str(caption_file), num_captions=2, baseline=baseline, max_length=8, loss_weight=3.0)
        loss._write, loss._search = lambda *_: tokens, lambda *_, **__: greedy
        rewards = loss.rewards(head, tokens, references)
        assert rewards[0, 0] > rewards[0, 1]
        other = rewards.mean(1, keepdim=True) if baseline == 'mean' else loss.rewards(head, greedy, references)
        expected = -3 * ((rewards - other) * sentence_log_probs(head, memory, tokens)).mean() / 8
        assert torch.allclose(loss(head, memory, samples()), expected)


def test_equal_sentences_teach_nothing(head, feats, caption_file):
    loss = SelfCriticalLoss(str(caption_file), num_captions=2, max_length=8)
    loss._write = lambda *_: torch.tensor([[[5, 6, 3], [5, 6, 3]], [[7, 3, 0], [7, 3, 0]]])
    assert float(loss(head, head.memory(feats), samples()).detach()) == 0


def test_arguments_are_checked(caption_file, tmp_path):
    for wrong in (dict(search='greedy'), dict(baseline='best'), dict(num_captions=1)):
        with pytest.raises(ValueError):
            SelfCriticalLoss(str(caption_file), **wrong)
    with pytest.raises(FileNotFoundError, match='none.json'):
        SelfCriticalLoss(str(tmp_path / 'none.json'))
    (tmp_path / 'empty.json').write_text('{"images": []}')
    with pytest.raises(ValueError, match='holds no captions'):
        SelfCriticalLoss(str(tmp_path / 'empty.json'))
