"""Tools in processes of their own: forks of one that has imported all modules, half a minute less each, or torchrun."""

import importlib.util
import multiprocessing
import os
import socket
import subprocess
import sys

from ..conftest import REPO_ROOT, leave_configs_unformatted

PRELOADED = [f'mmyolor_mtl.{part}' for part in ('models', 'datasets', 'engine', 'evaluation', 'visualization')]
PRELOADED += ['mmdet.apis', 'mmseg.models', 'torch._dynamo', 'tests.test_train.forks']


def train(config, *arguments, processes=1, **variables):
    """Run ``tools/train.py`` on a config beside which it may write its log; the exit codes of its processes."""
    if processes > 1:
        arguments = (*arguments, '--launcher', 'pytorch')
        variables |= {'WORLD_SIZE': processes, 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': free_port()}
    ranks = [{**variables, 'RANK': rank, 'LOCAL_RANK': rank} for rank in range(processes)]
    return in_forks(_train, [(config, arguments, names) for names in ranks])


def in_forks(target, arguments):
    """Call a function of a module in a process for each tuple of arguments, all at once; the exit codes.

    They are forks of a server and not of the tests' process, which holds gigabytes after a while, copied bit by bit.
    Variables that a test has set in its environment do not reach them.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PRELOADED)
    started = [context.Process(target=target, args=each) for each in arguments]
    for process in started:
        process.start()
    for process in started:
        process.join(300)
    return [process.exitcode for process in started]


def launch_two_processes(tool, config, *arguments):
    """Run a tool on a config under torchrun, in the config's folder; both processes must end well."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', f'--master_port={free_port()}']
    command += [REPO_ROOT / tool, config, *arguments, '--launcher', 'pytorch']
    path = os.pathsep.join([str(REPO_ROOT), os.environ.get('PYTHONPATH', '')])
    env = {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run(command, env=env, cwd=config.parent, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]


def train_in_two_processes(config):
    """Two processes, which must end well."""
    codes = train(config, processes=2)
    assert codes == [0, 0], (config.parent / 'log.txt').read_text()[-3000:]


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def _train(config, arguments, variables):
    log = os.open(config.parent / 'log.txt', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update({name: str(value) for name, value in variables.items()})
    leave_configs_unformatted()
    spec = importlib.util.spec_from_file_location('train_tool', REPO_ROOT / 'tools/train.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.main([str(config), *arguments])
