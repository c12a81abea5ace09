"""What the benchmarks under ``tools/analysis_tools`` share."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# glibc hands large blocks back to the system as soon as they are freed and asks for them again at the next operation;
# with these settings of a process's environment it keeps them.
KEEP_MEMORY = {
    'MALLOC_MMAP_MAX_': '0',
    'MALLOC_TRIM_THRESHOLD_': str(2**34),
    'MALLOC_TOP_PAD_': str(2**28),
}


def best_time(function: Callable[[], Any], repeats: int, device: str = 'cpu') -> float:
    """Seconds of the fastest of some runs, after one that is not timed."""
    function()
    runs = []
    for _ in range(repeats):
        begin = now(device)
        function()
        runs.append(now(device) - begin)
    return min(runs)


def now(device: str) -> float:
    """A clock that waits for the device."""
    if device.startswith('cuda'):
        torch.cuda.synchronize()
    return time.perf_counter()


def random_boxes(count: int, size: int) -> Tensor:
    """Boxes (count, 4) xyxy px inside a square picture, with sides between 4 % and 40 % of it, small ones as often."""
    sides = size * torch.exp(torch.empty(count, 2).uniform_(*torch.tensor([0.04, 0.4]).log().tolist()))
    corner = torch.rand(count, 2) * (size - sides)
    return torch.cat([corner, corner + sides], dim=1)
