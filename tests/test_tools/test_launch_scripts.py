"""The launch scripts pass on what they are given; stand-ins for python and srun print it."""

import os
import subprocess

import pytest

FAKE = r"""#!/usr/bin/env bash
echo "PYTHONPATH=$PYTHONPATH MALLOC=${MALLOC_TRIM_THRESHOLD_:-default}"
printf "%s\n" "$@"
"""


@pytest.fixture
def run(repo_root, tmp_path):
    for name in ('python', 'srun'):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)

    def call(script, *arguments, **environment):
        env = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'PYTHONPATH': '', **environment}
        command = ['bash', repo_root / 'tools' / script, *arguments]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)

    return call


@pytest.mark.parametrize(('script', 'files'), [('train', ['a b.py']), ('test', ['a b.py', 'c.pth'])])
def test_several_gpus(run, repo_root, script, files):
    done = run(f'dist_{script}.sh', *files, '4', '--amp', '--cfg-options', 'x="a b"', NNODES='2', NODE_RANK='1')
    first, *words = done.stdout.splitlines()
    assert first == f'PYTHONPATH={repo_root} MALLOC=default'
    assert words[:4] == ['-m', 'torch.distributed.run', '--nnodes=2', '--node_rank=1']
    assert '--nproc_per_node=4' in words and f'{repo_root}/tools/{script}.py' in words
    assert words[-len(files) - 5 :] == [*files, '--launcher', 'pytorch', '--amp', '--cfg-options', 'x="a b"']


@pytest.mark.parametrize(('script', 'files'), [('train', ['a b.py']), ('test', ['a b.py', 'c.pth'])])
def test_slurm(run, repo_root, script, files):
    environment = dict(GPUS='4', SRUN_ARGS='--time=1:00 --quiet', KEEP_MEMORY='1')
    done = run(f'slurm_{script}.sh', 'gpu', 'my job', *files, '--work-dir', 'x y', **environment)
    first, *words = done.stdout.splitlines()
    assert first == f'PYTHONPATH={repo_root} MALLOC=17179869184'
    assert words[:5] == ['--partition=gpu', '--job-name=my job', '--gres=gpu:4', '--ntasks=4', '--ntasks-per-node=4']
    assert '--time=1:00' in words and '--quiet' in words
    program = ['-u', f'{repo_root}/tools/{script}.py', *files, '--launcher', 'slurm', '--work-dir', 'x y']
    assert words[-len(program) :] == program


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_usage(run, script):
    done = run(script, 'only')
    assert done.returncode == 2 and 'usage:' in done.stderr
