"""What the benchmarks under ``tools/analysis_tools`` share."""

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
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


def memory_in_use() -> int:
    """Bytes of memory that the process holds now; its peak so far where the system does not tell."""
    statm = Path('/proc/self/statm')
    if not statm.exists():
        return peak_memory()
    return int(statm.read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def peak_memory() -> int:
    """Highest memory of the process so far, in bytes.

    Linux is asked for the peak of this program: what ``getrusage`` tells there begins with the memory of the process
    that started it.
    """
    status = Path('/proc/self/status')
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith('VmHWM:'):
            return int(line.split()[1]) * 1024
    # Linux counts in kilobytes here, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)
