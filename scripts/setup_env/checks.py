"""What must hold before anything long begins."""

import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

GIB = 1024**3
# Measured: 1.9 GiB environment, 0.6 GiB of downloads kept by pip, 0.2 GiB of objects while mmcv compiles.
ENV_GIB = 4.0
# PyTorch's default builds for Linux bring CUDA libraries along: about 3 GiB to download, 7 GiB unpacked.
CUDA_GIB = 12.0
TEMP_GIB = 1.0


class SetupError(Exception):
    """The set-up cannot go on; the message says why and what to do."""


def check_compiler(which: Callable[[str], str | None] = shutil.which) -> None:
    """Check that mmcv's C++ operators can be compiled.

    Raises:
        SetupError: without a working C and C++17 compiler or without Python's headers.
    """
    hint = 'Install them (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++)'
    for variable, names in (('CC', ('cc', 'gcc', 'clang')), ('CXX', ('c++', 'g++', 'clang++'))):
        given = shlex.split(os.environ.get(variable, ''))
        if not any(which(name) for name in (given[:1] or names)):
            tried = f'{variable}={given[0]}' if given else ', '.join(names)
            raise SetupError(
                f'no C/C++ compiler: {tried} not found, and mmcv has to be compiled. {hint}, or give a folder with a '
                'prebuilt mmcv wheel for this Python and torch: make WHEELS=dir ...'
            )
    given = shlex.split(os.environ.get('CXX', ''))
    command = given or [next(name for name in ('c++', 'g++', 'clang++') if which(name))]
    source = '#include <optional>\nint main() { return std::optional<int>(0).value(); }\n'
    probe = subprocess.run(
        [*command, '-std=c++17', '-x', 'c++', '-fsyntax-only', '-'], input=source, capture_output=True, text=True
    )
    if probe.returncode:
        raise SetupError(f'the C++ compiler {shlex.join(command)} cannot compile C++17:\n{probe.stderr.strip()}')
    header = Path(sysconfig.get_path('include'), 'Python.h')
    if not header.is_file():
        raise SetupError(
            f"Python's C headers are missing ({header.name} is not in {header.parent}), and mmcv has to be compiled. "
            'Install them (Debian, Ubuntu: apt-get install python3-dev; Fedora: dnf install python3-devel)'
        )


def check_disk(folder: Path, need_gib: float, free: Callable[[Path], int] | None = None) -> None:
    """Check that ``folder`` (or the nearest parent that exists) has ``need_gib`` GiB free.

    Raises:
        SetupError: with what is there and what is needed.
    """
    while not folder.exists():
        folder = folder.parent
    have = (free or (lambda path: shutil.disk_usage(path).free))(folder) / GIB
    if have < need_gib:
        raise SetupError(
            f'no disk space: {folder} has {have:.1f} GiB free, the set-up needs about {need_gib:.0f} GiB there. '
            'Make room, or choose other places: VENV=dir for the environment, TMPDIR=dir for temporary files'
        )


def check_disk_everywhere(env: Path, need_gib: float = ENV_GIB) -> None:
    """Check the disk of the environment and that of temporary files."""
    check_disk(env, need_gib)
    check_disk(Path(tempfile.gettempdir()), TEMP_GIB)
