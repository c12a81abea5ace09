"""The caption benchmark runs, and both of its searches agree."""

import importlib.util
from pathlib import Path

import pytest
import torch

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools' / 'benchmark_caption.py'


@pytest.fixture(scope='module')
def tool():
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location('benchmark_caption', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_cached_search_is_faster_and_the_same(tool):
    args = '--size 128 --batch 2 --num-layers 2 --vocab-size 50 --max-length 12 --repeats 2'
    result = tool.run(tool.parse_args(args.split()))
    assert result['same_words']
    assert result['ratio'] == pytest.approx(result['seconds_uncached'] / result['seconds_cached'])
    assert result['ratio'] > 1.2


def test_bad_size(tool):
    with pytest.raises(ValueError, match='--size 100'):
        tool.run(tool.parse_args(['--size', '100']))
