"""Graphs in the runtimes, without networks."""

import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from mmyolor_mtl.deploy.runtimes import load_graph

SIGNALLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from mmyolor_mtl.deploy.runtimes import load_graph
seen = []
signal.signal(signal.SIGUSR1, lambda *arguments: seen.append(arguments))
feeds = {'x': np.ones((4, 4), np.float32)}
first, second = (load_graph(Path(sys.argv[1]), ['y'], sys.argv[2], threads=1) for _ in range(2))
first(feeds), second(feeds)
del first
del second
os.kill(os.getpid(), signal.SIGUSR1)
assert seen
"""


@pytest.fixture
def graph(tmp_path):
    """y = x x."""
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 4]) for name in 'xy']
    graph = helper.make_graph([helper.make_node('MatMul', ['x', 'x'], ['y'])], 'square', sides[:1], sides[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9), tmp_path / 'square.onnx')
    return tmp_path / 'square.onnx'


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_runs(graph, runtime):
    pytest.importorskip(runtime)
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert np.array_equal(load_graph(graph, ['y'], runtime, threads=1)({'x': x})['y'], x @ x)


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_signals_are_survived_when_two_graphs_have_come_and_gone(graph, runtime, repo_root):
    """OpenVINO used to leave Python a stack for signal handlers that was no more; Ctrl-C crashed then."""
    pytest.importorskip(runtime)
    command = [sys.executable, '-c', SIGNALLED, graph, runtime]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
