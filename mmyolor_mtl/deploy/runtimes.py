"""ONNX files by whichever runtime is installed: named arrays in, named arrays out."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Arrays = Mapping[str, np.ndarray]
RUNTIMES = ('onnxruntime', 'openvino')
PRECISIONS = ('fp32', 'bf16')


class Graph(Protocol):
    """A loaded graph."""

    def __call__(self, feeds: Arrays) -> dict[str, np.ndarray]:
        """Run; what it returns may be overwritten by the next run."""
        ...


def load_graph(
    path: Path,
    outputs: Sequence[str],
    runtime: str = 'onnxruntime',
    threads: int | None = None,
    precision: str = 'fp32',
) -> Graph:
    """Load an ONNX file.

    Args:
        path (Path): The file.
        outputs (Sequence[str]): Names of the outputs that are wanted; what only the others need is not computed.
        runtime (str): 'onnxruntime' or 'openvino'.
        threads (int, optional): Threads to compute with; the runtime's own choice by default.
        precision (str): 'fp32', or 'bf16' for OpenVINO on processors that have it.

    Raises:
        ImportError: The runtime is not installed; the message says how to install it.
        ValueError: There is no such runtime, or it cannot compute with this precision.
    """
    if runtime not in RUNTIMES:
        raise ValueError(f'runtime={runtime!r} must be one of {RUNTIMES}')
    if precision not in PRECISIONS:
        raise ValueError(f'precision={precision!r} must be one of {PRECISIONS}')
    if threads is not None and threads < 1:
        raise ValueError(f'threads={threads} must be at least 1')
    if runtime == 'openvino':
        return _OpenVINOGraph(path, outputs, threads, precision)
    if precision != 'fp32':
        raise ValueError(f"precision={precision!r} needs runtime='openvino': ONNX Runtime computes as the file says")
    return _OnnxRuntimeGraph(path, outputs, threads)


class _OnnxRuntimeGraph:
    """ONNX Runtime on the CPU."""

    def __init__(self, path: Path, outputs: Sequence[str], threads: int | None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError("runtime='onnxruntime' needs a package: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
        self._run_options = onnxruntime.RunOptions()
        self._run_options.only_execute_path_to_fetches = True
        self._outputs = list(outputs)

    def __call__(self, feeds: Arrays) -> dict[str, np.ndarray]:
        """Run."""
        values = self._session.run(self._outputs, dict(feeds), self._run_options)
        return dict(zip(self._outputs, values, strict=True))


@functools.cache
def openvino_core() -> Any:
    """The process's one core.

    OpenVINO gives each core a stack for signal handlers, and puts back the stack it found when the core goes. With two
    of them gone in the order in which they came, that is a stack which is no more, and the next signal that Python
    handles (Ctrl-C, or the end of a worker that loads data) ends the process.
    """
    import openvino

    return openvino.Core()


class _OpenVINOGraph:
    """OpenVINO on the CPU."""

    def __init__(self, path: Path, outputs: Sequence[str], threads: int | None, precision: str) -> None:
        try:
            import openvino
        except ImportError as error:
            raise ImportError("runtime='openvino' needs a package: pip install openvino") from error
        core = openvino_core()
        if precision == 'bf16' and 'BF16' not in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES'):
            raise ValueError("precision='bf16' needs a processor with bf16 instructions, which this one lacks")
        model = core.read_model(str(path))
        wanted = [model.output(name) for name in outputs]
        model = openvino.Model(wanted, model.get_parameters(), model.get_name())
        settings: dict[str, Any] = {
            'PERFORMANCE_HINT': 'LATENCY',
            'INFERENCE_PRECISION_HINT': {'fp32': 'f32', 'bf16': 'bf16'}[precision],
        }
        if threads is not None:
            settings['INFERENCE_NUM_THREADS'] = threads
        self._request = core.compile_model(model, 'CPU', settings).create_infer_request()
        self._outputs = list(outputs)

    def __call__(self, feeds: Arrays) -> dict[str, np.ndarray]:
        """Run."""
        values = self._request.infer(dict(feeds), share_inputs=True, share_outputs=True)
        return {name: values[i] for i, name in enumerate(self._outputs)}
