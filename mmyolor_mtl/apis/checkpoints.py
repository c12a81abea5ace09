"""What a checkpoint carries beside its weights: config, classes, vocabulary."""

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader


def read_checkpoint(weights: str) -> dict[str, Any]:
    """Read a checkpoint to the CPU. MMEngine's runners store the averaged weights (EMA) as its ``state_dict``.

    Args:
        weights (str): File or URL.

    Raises:
        FileNotFoundError: It does not exist.
        ValueError: It is no checkpoint.
    """
    if '://' not in weights and not Path(weights).is_file():
        raise FileNotFoundError(f'checkpoint {weights} does not exist')
    try:
        checkpoint = CheckpointLoader.load_checkpoint(weights, map_location='cpu')
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(f'{weights} is no checkpoint, or damaged: {error}') from error
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f'{weights} holds a {type(checkpoint).__name__}, not a checkpoint')
    return dict(checkpoint)


def config_of(checkpoint: Mapping[str, Any], origin: str) -> Config:
    """The config that a runner stored with the weights. Like any config it is code that is run.

    Raises:
        ValueError: There is none.
    """
    text = checkpoint.get('meta', {}).get('cfg')
    if text is None:
        raise ValueError(f'checkpoint {origin} carries no config: give the config beside it')
    return Config.fromstring(text, file_format='.py')


def load_weights(network: torch.nn.Module, checkpoint: Mapping[str, Any], origin: str) -> None:
    """Load weights that must be complete; what the network has no place for is left out with a warning.

    Raises:
        ValueError: Weights are missing or of another shape.
    """
    state = checkpoint.get('state_dict', checkpoint)
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    own = network.state_dict()
    missing = [key for key in own if key not in state]
    differing = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or differing:
        listed = [f'{len(missing)} missing (such as {missing[0]})'] if missing else []
        if differing:
            key = differing[0]
            theirs, ours = tuple(state[key].shape), tuple(own[key].shape)
            listed.append(f'{len(differing)} of another shape (such as {key}): {theirs} instead of {ours}')
        raise ValueError(f'checkpoint {origin} does not fit the config: weights {", ".join(listed)}')
    # A config with fewer heads than the checkpoint is a way to run faster, so weights left over are no error.
    extra = [key for key in state if key not in own]
    if extra:
        text = f'{len(extra)} weights of {origin} belong to no part of this config (such as {extra[0]})'
        print_log(text, 'current', logging.WARNING)
    network.load_state_dict(state, strict=False)


def set_tokenizer(cfg: Any, tokenizer: Mapping[str, Any]) -> None:
    """Replace every tokenizer in a model's config by the one that a checkpoint carries."""
    if isinstance(cfg, dict):
        for key, value in cfg.items():
            if key == 'tokenizer':
                cfg[key] = dict(tokenizer)
            else:
                set_tokenizer(value, tokenizer)
    elif isinstance(cfg, list | tuple):
        for value in cfg:
            set_tokenizer(value, tokenizer)
