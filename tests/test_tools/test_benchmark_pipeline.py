"""What a training sample costs."""

import json

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config

from mmyolor_mtl.datasets.shapes import write_shapes
from tests.test_train.conftest import tiny_config
from tools.analysis_tools import benchmark_pipeline


@pytest.fixture
def config(tmp_path):
    root, path = write_shapes(tmp_path / 'shapes', 12, 0, size=64, seed=3), tmp_path / 'config.py'
    tiny_config(root, tmp_path / 'run').dump(path)
    return path


def test_figures_add_up(config, capsys):
    benchmark_pipeline.main([str(config), '--samples', '12', '--workers', '1'])
    out = capsys.readouterr().out
    found = json.loads(out.splitlines()[-1])
    parts = found['ms_by_transform']
    assert {'LoadImageFromFile', 'LoadMTLAnnotations', 'MTLMosaic', 'MTLRandomAffine', 'PackMTLInputs'} <= set(parts)
    assert all(name in out for name in parts)
    # Own times: what a mosaic spends on loading its partners is theirs, and the sum is the whole.
    assert sum(parts.values()) == pytest.approx(found['ms']) and all(ms > -0.05 for ms in parts.values())
    assert found['images'] >= 4 and found['ratio'] == pytest.approx(found['ms'] / found['ms_decoding'])
    assert found['samples_per_second'] > 0 and found['peak_memory_mb'] > 50
    batch = 4 * 3 * 64 * 64  # four strong views
    assert batch < found['largest_batch_mb'] * 2**20 < 20 * batch


def test_nested_pipelines_count_for_themselves():
    class Step:
        def __init__(self, seconds, inner=None):
            self.seconds = seconds
            self.pipeline = inner

        def __call__(self, results):
            if self.pipeline is not None:
                self.pipeline(results)
            clock.now += self.seconds
            return results

    class Outer(Step):
        pass

    class Clock:
        now = 0.0

    clock = Clock()
    watch = benchmark_pipeline.Stopwatch(clock=lambda: clock.now)
    inner = Compose([])
    inner.transforms = [Step(2.0), Step(3.0)]
    owner = Outer(0.0, Compose([]))
    owner.pipeline.transforms = [Outer(7.0, inner)]
    watch.attach(owner)
    owner.pipeline({})
    assert watch.seconds == {'Step': 5.0, 'Outer': 7.0}


def test_bytes_of_a_batch():
    batch = {'inputs': [np.zeros(3)], 'more': (torch.zeros(5), torch.zeros(2))}
    assert benchmark_pipeline.tensor_bytes(batch) == 28


def test_arguments_are_checked(config):
    with pytest.raises(SystemExit):
        benchmark_pipeline.main([str(config), '--samples', '0'])
    assert Config.fromfile(config).train_dataloader.batch_size == 4
