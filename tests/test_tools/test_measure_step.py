"""One step of the paper's network at full size stays within 12 GB."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmyolor_mtl.datasets.shapes import write_shapes

from ..test_train.conftest import tiny_config

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / 'configs/yolor_mtl/yolor-mtl_elan_det-ins-sem-cap_8xb8-300e_coco.py'


def measure(config, *options):
    command = [sys.executable, ROOT / 'tools/analysis_tools/measure_step.py', config, *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=config.parent, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def paper_config(tmp_path, data_root, vocab_file, dataset_type):
    """The paper's config on other data; the network keeps its 173 channels and 30,522 words."""
    text = Config.fromfile(PAPER).pretty_text.replace('data/coco/annotations/vocab.txt', str(vocab_file))
    cfg = Config.fromstring(text.replace('data/coco/', f'{data_root}/'), '.py')
    cfg.train_dataloader.dataset.type = dataset_type
    cfg.dump(tmp_path / 'paper.py')
    return tmp_path / 'paper.py'


def test_a_step_of_a_tiny_network(tmp_path):
    write_shapes(tmp_path / 'shapes', 4, 1, size=64, seed=0)
    cfg = tiny_config(tmp_path / 'shapes', tmp_path / 'run')
    cfg.dump(tmp_path / 'tiny.py')
    figures = measure(tmp_path / 'tiny.py', '--batch-size', '2', '--steps', '2')
    assert figures['seconds'] > 0 and 0.1 < figures['peak_memory_gb'] < 4 and math.isfinite(figures['loss'])
    assert 0 < figures['data_seconds'] < figures['seconds'] and 0 < figures['step_memory_gb'] < 3
    assert figures['images_per_second'] == pytest.approx(2 / figures['seconds'], rel=0.05)
    assert figures['malloc'] == 'default'


def test_other_data_vocabulary_and_size(tmp_path):
    from tools.analysis_tools.measure_step import adapt_config, build_parser

    args = build_parser().parse_args(['x', '--data-root', 'my', '--vocab-file', 'words.txt', '--img-scale', '320'])
    text = adapt_config(Config.fromfile(PAPER), args).pretty_text
    assert 'data/coco' not in text and '640' not in text
    assert text.count("vocab_file='words.txt'") >= 3 and "'my/annotations/instances_val2017.json'" in text


def test_table_of_two_settings(tmp_path):
    write_shapes(tmp_path / 'shapes', 4, 1, size=64, seed=0)
    tiny_config(tmp_path / 'shapes', tmp_path / 'run').dump(tmp_path / 'tiny.py')
    command = [sys.executable, ROOT / 'tools/analysis_tools/benchmark_train.py', tmp_path / 'tiny.py', '--keep-memory']
    command += ['--batch-size', '2', '--against', 'model.train_cfg.views_in_turn=False']
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    turn, together = (json.loads(line) for line in lines[:2])
    assert turn['loss'] == pytest.approx(together['loss'], rel=1e-5) and turn['malloc'] == 'keep'
    assert lines[2].startswith('| config | setting | batch |') and lines[4].startswith('| tiny | as it is | 2 |')
    assert '| model.train_cfg.views_in_turn=False | 2 |' in lines[5] and lines[5].count('x)') >= 3


@pytest.mark.slow
def test_a_step_of_the_papers_network_on_drawn_scenes(tmp_path):
    root = tmp_path / 'shapes'
    write_shapes(root, 4, 1, size=640, seed=0)
    config = paper_config(tmp_path, root, root / 'annotations/vocab.txt', 'mmyolor_mtl.ShapesDataset')
    figures = measure(config, '--batch-size', '2')
    assert math.isfinite(figures['loss']) and figures['peak_memory_gb'] < 12


@pytest.mark.slow
def test_a_step_of_the_papers_network_on_real_images(tmp_path, shared_dir):
    from tools.misc.build_vocab import main as build_vocab

    root = shared_dir / 'mini_coco'
    build_vocab([str(root / 'annotations/captions_train2017.json'), '--out', str(tmp_path / 'vocab.txt')])
    config = paper_config(tmp_path, root, tmp_path / 'vocab.txt', 'mmyolor_mtl.COCOMultiTaskDataset')
    figures = measure(config, '--batch-size', '2')
    assert math.isfinite(figures['loss']) and figures['peak_memory_gb'] < 12
