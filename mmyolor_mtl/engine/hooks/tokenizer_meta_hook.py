"""Keep the vocabulary with the weights that were trained on it."""

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmyolor_mtl.engine.wrapping import bare_model
from mmyolor_mtl.registry import HOOKS


@HOOKS.register_module()
class TokenizerMetaHook(Hook):
    """Stores the caption head's vocabulary in ``checkpoint['meta']['tokenizer']`` and checks it when one is loaded.

    Word ids mean nothing without their vocabulary: weights loaded under another one would speak nonsense without any
    error. A model without a caption head, and a checkpoint without a vocabulary, are left alone.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the vocabulary.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What is about to be saved.
        """
        tokenizer = _tokenizer_of(runner)
        if tokenizer is not None:
            checkpoint.setdefault('meta', {})['tokenizer'] = tokenizer.state()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the vocabularies.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was loaded.

        Raises:
            ValueError: The checkpoint was trained with another vocabulary.
        """
        tokenizer = _tokenizer_of(runner)
        saved = checkpoint.get('meta', {}).get('tokenizer')
        if tokenizer is None or saved is None:
            return
        own = tokenizer.state()
        if own == saved:
            return
        raise ValueError(
            f'the checkpoint was trained with {_describe(saved)}, the config has {_describe(own)}'
            f'{_first_difference(saved, own)}. Give the vocabulary file of that training as tokenizer.vocab_file, or '
            'leave TokenizerMetaHook out to train the caption head anew'
        )


def _describe(state: Mapping[str, Any]) -> str:
    tokens = len(state.get('tokens', ()))
    return f'a {state.get("type")} of {tokens} tokens (vocab_size {state.get("vocab_size")})'


def _first_difference(saved: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    pairs = enumerate(zip(saved.get('tokens', ()), own.get('tokens', ()), strict=False))
    i, (theirs, ours) = next((pair for pair in pairs if pair[1][0] != pair[1][1]), (None, (None, None)))
    return '' if i is None else f'; the first difference is id {i}: {theirs!r} and {ours!r}'


def _tokenizer_of(runner: Runner) -> Any:
    model = bare_model(runner)
    heads = getattr(model, 'heads', None) or {}
    return getattr(heads['cap'], 'tokenizer', None) if 'cap' in heads else None
