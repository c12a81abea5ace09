"""Two real processes (gloo), each of whose batches lacks some task."""

import os
import socket
import subprocess
import sys

from .conftest import ROOT, tiny_config
from .test_runner import LOSSES, drop_labels, scalars


def train_in_two_processes(config):
    """Run ``tools/train.py`` on a config beside which it may write."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        port = sock.getsockname()[1]
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', f'--master_port={port}']
    command += [ROOT / 'tools/train.py', config, '--launcher', 'pytorch']
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    env = {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run(command, env=env, cwd=config.parent, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_with_missing_labels_do_not_stall(own_scenes, tmp_path):
    drop_labels(own_scenes)
    cfg = tiny_config(own_scenes, tmp_path / 'run', max_epochs=2, batch_size=1)
    config = tmp_path / 'tiny.py'
    cfg.dump(config)
    train_in_two_processes(config)
    lines = [line for line in scalars(tmp_path / 'run') if 'loss' in line]
    assert len(lines) == 12 and all(max(line[name] for line in lines) > 0 for name in LOSSES)
    assert (tmp_path / 'run/epoch_2.pth').is_file()
