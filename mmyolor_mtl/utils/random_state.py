"""The global random number generators of a process: torch's (CPU and the GPU in use), NumPy's and Python's."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """The state of all generators, made of tensors and plain numbers, which ``torch.load(weights_only=True)`` reads."""
    kind, key, *rest = np.random.get_state(legacy=True)
    state = {
        'torch': torch.get_rng_state(),
        'numpy': (kind, torch.from_numpy(np.asarray(key, dtype=np.int64)), *rest),
        'python': random.getstate(),
    }
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put all generators into a state that :func:`random_state` gave; the GPU's where there is one."""
    kind, key, *rest = state['numpy']
    torch.set_rng_state(state['torch'].cpu())
    np.random.set_state((kind, key.cpu().numpy().astype(np.uint32), *rest))
    random.setstate(state['python'])
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


@contextmanager
def preserved_random_state() -> Iterator[dict[str, Any]]:
    """Whatever the block draws, what is drawn after it does not change; gives the state that it comes back to."""
    state = random_state()
    try:
        yield state
    finally:
        set_random_state(state)
