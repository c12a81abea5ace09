from types import SimpleNamespace

import pytest
from torch import nn

from mmyolor_mtl.models.text import WordTokenizer
from mmyolor_mtl.registry import HOOKS


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
    with pytest.raises(ValueError, match=r"of 7 words .*of 6 .*first difference is id 5: 'dog' and 'cat'"):
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
