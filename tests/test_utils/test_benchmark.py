import subprocess
import sys

import numpy as np

from mmyolor_mtl.utils.benchmark import memory_in_use, peak_memory

PEAK = 'from mmyolor_mtl.utils.benchmark import peak_memory; print(peak_memory())'


def test_peak_counts_what_was_freed():
    size = 2**28
    before = memory_in_use()
    block = np.ones(size, np.uint8)
    assert memory_in_use() - before > 0.9 * size
    del block
    assert memory_in_use() - before < 0.5 * size
    assert peak_memory() - before > 0.9 * size


def test_peak_is_of_the_program_alone():
    block = np.ones(2**31, np.uint8)  # a parent with much memory, as a worker of the tests is
    done = subprocess.run([sys.executable, '-c', PEAK], check=True, capture_output=True, text=True)
    assert 0 < int(done.stdout) < len(block) / 2
