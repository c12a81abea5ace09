"""The benchmarks of assignment, losses and post-processing run, and their figures agree with each other."""

import importlib
import json
import subprocess
import sys

import pytest


def run(repo_root, name, *arguments):
    tool = repo_root / 'tools' / 'analysis_tools' / f'{name}.py'
    done = subprocess.run([sys.executable, tool, *arguments], capture_output=True, text=True, check=True, cwd=repo_root)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{')]


def test_assigner(repo_root):
    small = ('--size', '128', '--batch', '2', '--objects', '3', '8', '--classes', '5', '--repeats', '1')
    results = run(repo_root, 'benchmark_assigner', *small)
    assert [result['objects'] for result in results] == [3, 8]
    for result in results:
        assert result['ratio'] == pytest.approx(result['ms_image_by_image'] / result['ms_batched'])
        assert 0 < result['positives_batched'] <= 10 * result['objects']
        assert result['positives_image_by_image'] <= 10 * result['objects']


@pytest.mark.slow
def test_losses(repo_root):
    small = ('--size', '160', '--batch', '2', '--objects', '4', '--semantic-classes', '20', '--repeats', '1')
    everything, semantic = run(repo_root, 'benchmark_losses', *small)
    assert (everything['terms'], semantic['terms']) == ('all', 'semantic')
    for result in (everything, semantic):
        assert result['value_difference'] < 1e-5 and result['gradient_difference'] < 1e-5
        assert result['ratio'] == pytest.approx(result['seconds_dense'] / result['seconds'])


@pytest.mark.parametrize('semantic', ['clear', 'noise'])
def test_postprocessing(repo_root, semantic):
    config = repo_root / 'configs' / 'shapes' / 'yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py'
    small = ('--size', '128', '--image', '60', '90', '--objects', '5', '--kept', '9', '--repeats', '1')
    (result,) = run(repo_root, 'benchmark_postprocess', config, *small, '--semantic', semantic)
    assert 5 <= result['kept'] <= 9 and result['segments'] > 3
    parts = sum(result[f'ms_{name}'] for name in ('nms', 'masks', 'semantic', 'panoptic'))
    assert result['ms_after'] == pytest.approx(parts, abs=0.3)
    assert result['share'] == pytest.approx(result['ms_after'] / result['ms_forward'], rel=0.05)


@pytest.mark.parametrize('name', ['benchmark_assigner', 'benchmark_losses'])
def test_bad_size(name, capsys):
    tool = importlib.import_module(f'tools.analysis_tools.{name}')
    with pytest.raises(SystemExit):
        tool.main(['--size', '100'])
    assert '--size 100 must be a multiple of 32' in capsys.readouterr().err
