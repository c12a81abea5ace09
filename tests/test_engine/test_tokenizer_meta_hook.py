"""A checkpoint carries its vocabulary: it captions without the file, and no other vocabulary is mistaken for it."""

from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from mmyolor_mtl.apis import MTLInferencer
from mmyolor_mtl.models.text import BPETokenizer, WordPieceTokenizer, WordTokenizer
from mmyolor_mtl.registry import HOOKS, MODELS

from ..test_models.helpers import tiny_model

CAPTIONS = ['A red dog runs on grass.', "Two cats' blue toys", 'Nothing here, really!']


def make_runner(*captions):
    model = nn.Module()
    model.heads = nn.ModuleDict({'det': nn.Identity()})
    if captions:
        model.heads['cap'] = nn.Identity()
        model.heads['cap'].tokenizer = WordTokenizer.build(captions)
    return SimpleNamespace(model=model)


@pytest.fixture
def hook():
    return HOOKS.build(dict(type='mmyolor_mtl.TokenizerMetaHook'))


def test_saved_with_the_checkpoint_and_accepted_again(hook):
    runner, checkpoint = make_runner('a dog runs'), {'meta': {'epoch': 1}}
    hook.before_save_checkpoint(runner, checkpoint)
    restored = WordTokenizer.from_state(checkpoint['meta']['tokenizer'])
    assert restored.tokens == runner.model.heads['cap'].tokenizer.tokens
    hook.after_load_checkpoint(make_runner('a dog runs'), checkpoint)


def test_another_vocabulary_is_an_error_that_names_both_sizes(hook):
    checkpoint = {}
    hook.before_save_checkpoint(make_runner('a dog runs'), checkpoint)
    with pytest.raises(ValueError, match=r"of 7 tokens .*of 6 .*first difference is id 5: 'dog' and 'cat'"):
        hook.after_load_checkpoint(make_runner('a cat'), checkpoint)


def test_models_without_captions_and_checkpoints_without_words_pass(hook):
    checkpoint = {'meta': {}}
    hook.before_save_checkpoint(make_runner(), checkpoint)
    assert checkpoint == {'meta': {}}
    hook.after_load_checkpoint(make_runner('a cat'), checkpoint)
    hook.after_load_checkpoint(make_runner('a cat'), {'state_dict': {}})
    saved = {}
    hook.before_save_checkpoint(make_runner('a cat'), saved)
    hook.after_load_checkpoint(make_runner(), saved)
    plain = SimpleNamespace(model=nn.Linear(1, 1))
    hook.after_load_checkpoint(plain, saved)


def build_vocabulary(kind, captions=CAPTIONS):
    if kind == 'word':
        return WordTokenizer.build(captions)
    pytest.importorskip('tokenizers')
    return dict(wordpiece=WordPieceTokenizer, bpe=BPETokenizer)[kind].build(captions, vocab_size=270)


def caption_config(tokenizer):
    """A network that only writes captions, and a pipeline for pictures."""
    model = tiny_model()
    head = {**model['heads']['cap'], 'tokenizer': tokenizer, 'test_cfg': dict(max_length=8, min_length=4)}
    head.pop('vocab_size', None)
    model['heads'] = dict(cap=head)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmyolor_mtl.Letterbox', scale=(64, 64)),
        dict(type='mmyolor_mtl.PackMTLInputs'),
    ]
    dataset = dict(type='mmdet.CocoDataset', metainfo=dict(classes=('box',)), ann_file='none.json', pipeline=pipeline)
    return Config(dict(default_scope='mmdet', model=model, test_dataloader=dict(batch_size=1, dataset=dataset)))


@pytest.fixture
def trained(hook, tmp_path):
    """Makes a network and its checkpoint; the vocabulary file is gone afterwards."""

    def make(kind):
        file = tmp_path / 'vocabulary'
        tokenizer = build_vocabulary(kind)
        tokenizer.save(file)
        cfg = caption_config(dict(type=f'mmyolor_mtl.{type(tokenizer).__name__}', vocab_file=str(file)))
        torch.manual_seed(0)
        network = MODELS.build(deepcopy(cfg.model))
        # Large enough that the words differ.
        nn.init.normal_(network.heads['cap'].decoder.output[-1].weight)
        checkpoint = {'state_dict': network.state_dict(), 'meta': {}}
        hook.before_save_checkpoint(SimpleNamespace(model=network), checkpoint)
        torch.save(checkpoint, tmp_path / 'weights.pth')
        file.unlink()
        return cfg, tmp_path / 'weights.pth', network

    return make


@pytest.mark.parametrize('kind', ['word', 'wordpiece', 'bpe'])
def test_a_checkpoint_alone_captions_an_image(trained, kind):
    cfg, path, network = trained(kind)
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    inferencer = MTLInferencer(cfg, path)
    own = network.heads['cap'].tokenizer
    assert inferencer.model.heads['cap'].tokenizer.state() == own.state()
    caption = inferencer(image)[0].caption
    assert caption and own.unk_id not in own.encode(caption)


@pytest.mark.parametrize('kind', ['word', 'bpe'])
def test_a_runner_refuses_weights_of_another_vocabulary(trained, tmp_path, kind):
    _, path, network = trained('word')
    size = len(network.heads['cap'].tokenizer)
    other = build_vocabulary(kind, ['A cat'])
    cfg = caption_config(other.state())
    runner = Runner(
        cfg.model,
        work_dir=str(tmp_path),
        default_scope='mmdet',
        custom_hooks=[dict(type='mmyolor_mtl.TokenizerMetaHook')],
        experiment_name=f'vocabulary_{kind}',
    )
    message = (
        f'a WordTokenizer of {size} tokens .*a {type(other).__name__} of {len(other)} tokens .*first difference is'
    )
    with pytest.raises(ValueError, match=message):
        runner.load_checkpoint(str(path))
