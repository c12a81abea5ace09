"""The command lines of the export and of its benchmark."""

import importlib.util
import json
import subprocess
import sys

import cv2
import pytest
import torch

from mmyolor_mtl.datasets.shapes import generate_scene

CONFIG = 'configs/shapes/yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py'


def load(path):
    spec = importlib.util.spec_from_file_location(f'tool_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tool(repo_root):
    return load(repo_root / 'tools/deployment/export_onnx.py')


def test_missing_checkpoint(tool, repo_root, tmp_path):
    with pytest.raises(SystemExit, match=r'error: .*gone.pth'):
        tool.main([str(repo_root / CONFIG), str(tmp_path / 'gone.pth'), '--out-dir', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists()


def test_a_checkpoint_of_another_network(tool, repo_root, tmp_path):
    torch.save({'state_dict': {}, 'meta': {'tokenizer': dict(type='WordTokenizer', tokens=TOKENS)}}, tmp_path / 'a.pth')
    with pytest.raises(SystemExit, match='does not fit the config'):
        tool.main([str(repo_root / CONFIG), str(tmp_path / 'a.pth'), '--out-dir', str(tmp_path / 'out')])


TOKENS = ['[PAD]', '[UNK]', '[BOS]', '[EOS]', 'word']


def test_missing_packages(tool, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(SystemExit, match=r'error: exporting needs onnx, onnxscript, onnxruntime: pip install'):
        tool.main(['config.py', 'a.pth', '--out-dir', str(tmp_path / 'out')])


def test_out_dir_must_be_a_folder(tool, tmp_path, capsys):
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit):
        tool.main(['config.py', 'a.pth', '--out-dir', str(tmp_path / 'file')])
    assert 'is a file: give a folder' in capsys.readouterr().err


@pytest.mark.parametrize('argument', [('--size', '100'), ('--repeats', '0')])
def test_benchmark_refuses_what_cannot_be_timed(repo_root, argument, capsys):
    with pytest.raises(SystemExit):
        load(repo_root / 'tools/analysis_tools/benchmark_deploy.py').main(['config.py', 'photos', *argument])
    assert argument[0] in capsys.readouterr().err


@pytest.mark.slow
def test_benchmark(repo_root, tmp_path):
    for index in range(2):
        image = generate_scene(0, 'val', index, 90, 120).image
        cv2.imwrite(str(tmp_path / f'{index}.png'), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    command = [sys.executable, repo_root / 'tools/analysis_tools/benchmark_deploy.py', repo_root / CONFIG, tmp_path]
    small = ['--size', '96', '--repeats', '1', '--runtimes', 'onnxruntime']
    done = subprocess.run([*command, *small], capture_output=True, text=True, check=True, cwd=tmp_path)
    report = json.loads(done.stdout.splitlines()[-1])
    eager, exported = report['runs']['pytorch'], report['runs']['onnxruntime']
    assert report['images'] == 2 and eager['ratio'] == 1
    assert exported['ratio'] == pytest.approx(eager['ms'] / exported['ms'], abs=0.02)
    assert exported['semantic'] > 0.999 and exported['caption'] == 1
    found, expected = (int(number) for number in exported['objects'].split(' / '))
    assert found == expected > 0
