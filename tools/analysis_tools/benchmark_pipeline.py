"""What a training sample costs: milliseconds of each transform, samples a second, memory.

The pipeline runs in one process and one thread, and next to each sample OpenCV decodes the JPEGs that it used once
more: the ratio of both says how far the pipeline is from the least it could cost. Then a loader with ``--workers``.

Example::

    python tools/analysis_tools/benchmark_pipeline.py CONFIG --samples 300 --workers 2
"""

import argparse
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import mmcv.transforms
import mmengine.dataset
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmyolor_mtl.registry import DATASETS
from mmyolor_mtl.utils.benchmark import peak_memory
from mmyolor_mtl.utils.cli import add_common_arguments, load_config, parse_arguments

_COMPOSE = (mmengine.dataset.Compose, mmcv.transforms.Compose)
_WARM_UP = 10  # samples
# Linux counts the peak in kilobytes, macOS in bytes.
_RSS_UNIT = 1 if sys.platform == 'darwin' else 1024


class Stopwatch:
    """Own time of each kind of transform: what it spends in nested pipelines counts for those.

    Args:
        clock (Callable): Seconds since some moment.

    Attributes:
        seconds: By name of the transform.
        loaded: Paths of the images read since the list was last emptied.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self.loaded: list[str] = []
        self._nested = [0.0]

    def attach(self, owner: Any) -> None:
        """Time every transform of the pipelines that an object holds, those inside them included."""
        for value in list(vars(owner).values()):
            if isinstance(value, _COMPOSE):
                for transform in value.transforms:
                    self.attach(transform)
                value.transforms = [self._timed(transform) for transform in value.transforms]

    def _timed(self, transform: Callable[[dict], Any]) -> Callable[[dict], Any]:
        name = type(transform).__name__

        def run(results: dict) -> Any:
            if name == 'LoadImageFromFile':
                self.loaded.append(results['img_path'])
            self._nested.append(0.0)
            began = self._clock()
            try:
                return transform(results)
            finally:
                spent = self._clock() - began
                self.seconds[name] += spent - self._nested.pop()
                self._nested[-1] += spent

        return run


def decoding_seconds(paths: Sequence[str]) -> float:
    """Time OpenCV needs to decode these files, read beforehand."""
    contents = [np.fromfile(path, dtype=np.uint8) for path in paths]
    began = time.perf_counter()
    for content in contents:
        cv2.imdecode(content, cv2.IMREAD_COLOR)
    return time.perf_counter() - began


def time_samples(dataset: Any, count: int) -> dict[str, Any]:
    """Run the pipeline on random samples.

    Returns:
        dict: ``ms`` a sample, ``ms_by_transform``, ``images`` decoded a sample, ``ms_decoding``, their ``ratio``.
    """
    watch = Stopwatch()
    watch.attach(dataset)
    order = np.random.randint(len(dataset), size=_WARM_UP + count).tolist()
    total = decoding = 0.0
    images = 0
    for visit, index in enumerate(order):
        if visit == _WARM_UP:
            watch.seconds.clear()
            total = decoding = 0.0
            images = 0
        watch.loaded.clear()
        began = time.perf_counter()
        dataset[index]
        total += time.perf_counter() - began
        decoding += decoding_seconds(watch.loaded)
        images += len(watch.loaded)
    by_transform = {name: 1e3 * seconds / count for name, seconds in watch.seconds.items()}
    by_transform['data set'] = 1e3 * total / count - sum(by_transform.values())
    return dict(
        ms=1e3 * total / count,
        ms_by_transform=by_transform,
        images=images / count,
        ms_decoding=1e3 * decoding / count,
        ratio=total / decoding,
    )


def time_loader(cfg: Config, workers: int, batches: int) -> dict[str, float]:
    """Iterate over the config's loader.

    Returns:
        dict: ``samples_per_second`` after the first batch, ``largest_batch_mb``.
    """
    loader_cfg = {**cfg.train_dataloader, 'num_workers': workers, 'persistent_workers': False}
    loader = Runner.build_dataloader(loader_cfg, seed=0)
    largest = samples = 0
    began = time.perf_counter()
    for number, batch in enumerate(loader):
        if number == 0:
            began = time.perf_counter()
        else:
            samples += len(batch['inputs'])
        largest = max(largest, tensor_bytes(batch))
        if number == batches:
            break
    seconds = time.perf_counter() - began
    return dict(samples_per_second=samples / seconds if samples else 0.0, largest_batch_mb=largest / 2**20)


def tensor_bytes(content: Any) -> int:
    """Bytes of all tensors in a collated batch."""
    if isinstance(content, torch.Tensor):
        return content.numel() * content.element_size()
    if isinstance(content, dict):
        return sum(map(tensor_bytes, content.values()))
    if isinstance(content, (list, tuple)):
        return sum(map(tensor_bytes, content))
    if hasattr(content, 'all_items'):  # DetDataSample, InstanceData, PixelData
        return sum(tensor_bytes(value) for _, value in content.items())
    return 0


def measure(cfg: Config, samples: int, workers: int, seed: int) -> dict[str, Any]:
    """All figures of a config's training data."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    np.random.seed(seed)
    found = time_samples(DATASETS.build(cfg.train_dataloader.dataset), samples)
    found['peak_memory_mb'] = peak_memory() / 2**20
    batches = max(2, samples // int(cfg.train_dataloader.batch_size))
    found.update(time_loader(cfg, workers, batches), workers=workers)
    found['peak_memory_of_a_worker_mb'] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * _RSS_UNIT / 2**20
    return found


def report(found: dict[str, Any]) -> str:
    """The figures as text."""
    parts = sorted(found['ms_by_transform'].items(), key=lambda item: -item[1])
    lines = [f'{name:<24}{ms:8.2f} ms' for name, ms in parts]
    lines += [
        f'{"a sample":<24}{found["ms"]:8.2f} ms',
        f'{"decoding its images":<24}{found["ms_decoding"]:8.2f} ms ({found["images"]:.1f} images)',
        f'{"ratio":<24}{found["ratio"]:8.2f}',
        f'{"loader":<24}{found["samples_per_second"]:8.1f} samples/s with {found["workers"]} workers',
        f'{"largest batch":<24}{found["largest_batch_mb"]:8.1f} MiB of tensors',
        f'{"peak memory":<24}{found["peak_memory_mb"]:8.0f} MiB, of a worker '
        f'{found["peak_memory_of_a_worker_mb"]:.0f} MiB',
    ]
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; the last line of the output is JSON."""
    parser = argparse.ArgumentParser(description='Time the training pipeline of a config.')
    parser.add_argument('config', help='config file')
    add_common_arguments(parser)
    parser.add_argument('--samples', type=int, default=200, help='samples to run (default: %(default)s)')
    parser.add_argument('--workers', type=int, default=1, help='processes of the loader (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the random numbers (default: %(default)s)')
    args = parse_arguments(parser, argv)
    if args.samples < 1 or args.workers < 0:
        parser.error('--samples must be at least 1, --workers at least 0')
    cfg = load_config(args)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    found = measure(cfg, args.samples, args.workers, args.seed)
    print(report(found))
    print(json.dumps(found))


if __name__ == '__main__':
    main()
