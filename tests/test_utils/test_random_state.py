"""States of random numbers: what is drawn after them, and that a checkpoint can hold them."""

import random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.utils.random_state import preserved_random_state, random_state, set_random_state


def draw():
    return random.random(), random.gauss(0, 1), np.random.normal(), np.random.rand(), torch.randn(3).tolist()


@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_what_is_drawn_after_it_comes_again(tmp_path_factory, seed, before):
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
    for _ in range(before):  # an odd number of normal ones leaves half a pair in NumPy's and Python's generators
        random.gauss(0, 1), np.random.normal()
    path = tmp_path_factory.getbasetemp() / 'state.pth'
    torch.save(random_state(), path)
    first, others = draw(), draw()
    set_random_state(torch.load(path, weights_only=True))
    assert draw() == first != others


def test_a_block_that_draws_changes_nothing():
    state = random_state()
    first = draw()
    set_random_state(state)
    with preserved_random_state():
        draw()
    assert draw() == first
