"""``tools/train.py`` in forks of a process that has imported all modules already: half a minute less a run."""

import importlib.util
import multiprocessing
import os
import socket

from ..conftest import REPO_ROOT, leave_configs_unformatted

PRELOADED = [f'mmyolor_mtl.{part}' for part in ('models', 'datasets', 'engine', 'evaluation', 'visualization')]
PRELOADED += ['mmdet.apis', 'mmseg.models', 'torch._dynamo', 'tests.test_train.forks']


def train(config, *arguments, processes=1, **variables):
    """Run ``tools/train.py`` on a config beside which it may write its log; the exit codes of its processes."""
    if processes > 1:
        arguments = (*arguments, '--launcher', 'pytorch')
        variables |= {'WORLD_SIZE': processes, 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': free_port()}
    # Not of the tests' process: it holds gigabytes after a while, which would be copied bit by bit.
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PRELOADED)
    started = [
        context.Process(target=_train, args=(config, arguments, {**variables, 'RANK': rank, 'LOCAL_RANK': rank}))
        for rank in range(processes)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(300)
    return [process.exitcode for process in started]


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
