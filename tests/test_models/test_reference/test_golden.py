"""The reference's networks compute what they computed when they equalled it (figures in golden.json)."""

import json

import pytest
import torch

from .golden import FILE, NAMES, compute


@pytest.mark.parametrize('name', NAMES)
def test_figures(name):
    torch.set_num_threads(1)
    expected, found = json.loads(FILE.read_text())[name], compute(name)
    assert found['positives'] == expected['positives']
    assert found['losses'] == pytest.approx(expected['losses'], rel=1e-3)
    assert found['gradients'] == pytest.approx(expected['gradients'], rel=1e-3)
    assert set(found['outputs']) == set(expected['outputs'])
    for key, values in expected['outputs'].items():
        assert found['outputs'][key] == pytest.approx(values, abs=1e-3 * values[2]), key
    if 'beams' in expected:
        assert found['beams']['tokens'] == expected['beams']['tokens']
        assert found['beams']['scores'] == pytest.approx(expected['beams']['scores'], rel=1e-4)
