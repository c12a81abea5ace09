"""Fixtures for all tests. Threads are limited before anything that starts some is imported: several workers share the
cores, and results must not depend on how many there are."""

import gc
import os
import random
import sys
from pathlib import Path

import pytest

for _name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'NUMEXPR_NUM_THREADS'):
    os.environ.setdefault(_name, '1')

REPO_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def repo_root() -> Path:
    """The checkout."""
    return REPO_ROOT


@pytest.fixture(scope='session')
def shared_dir() -> Path:
    """The folder ``shared`` beside the checkout: real images and measured numbers that are not in the repository."""
    folder = REPO_ROOT.parent / 'shared'
    if not all((folder / part).is_dir() for part in ('mini_coco', 'parity')):
        pytest.skip('needs shared/mini_coco and shared/parity beside the checkout, which are not there')
    return folder


@pytest.fixture(autouse=True)
def _clean_state() -> None:
    """Start every test from the same random numbers and the arithmetic of a fresh process.

    A runner lets the CPU round tiny numbers to zero; hypothesis refuses to draw floats while it does.
    """
    random.seed(0)
    if 'numpy' in sys.modules:
        sys.modules['numpy'].random.seed(0)
    if 'torch' in sys.modules:
        sys.modules['torch'].manual_seed(0)
        sys.modules['torch'].set_flush_denormal(False)


def leave_configs_unformatted() -> None:
    """Keep yapf out: MMEngine formats the config anew for every log and every checkpoint, 0.3 s each."""
    import mmengine.config.config
    import yapf.yapflib.yapf_api

    # OpenMMLab's MMEngine has it by name, OneDL's looks it up.
    for module in (mmengine.config.config, yapf.yapflib.yapf_api):
        module.FormatCode = lambda text, **_: (text, True)


@pytest.fixture(scope='session', autouse=True)
def _plain_configs() -> None:
    leave_configs_unformatted()


@pytest.fixture(scope='module', autouse=True)
def _old_objects_rest() -> None:
    """Keep what earlier tests have left out of garbage collections.

    MMEngine collects all garbage whenever it builds a data set; with the objects of two thousand tests that takes
    longer than most of them.
    """
    gc.collect()
    gc.freeze()
