"""mmcv with its compiled operators: a prebuilt wheel if one fits, else compiled here in the user's sight."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

from .checks import SetupError, check_compiler
from .environment import Environment
from .stacks import Stack

# About 11 minutes of one idle core with '-g0 -O1'; the default flags take three times as long and give 84 MB.
CORE_MINUTES = 11.0
FLAGS = '-g0 -O1'
GIB_PER_JOB = 1.2
_OBJECT = re.compile(r'\s*\[(\d+)/(\d+)\] ')

# Loads the operators from a file without importing mmcv, whose other requirements may not be there yet.
LOAD_OPS = """
import importlib.util, sys, torch
spec = importlib.util.spec_from_file_location('mmcv._ext', sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
"""


def wheel_prefix(requirement: str) -> str:
    """Return how the file name of a wheel of ``name==version`` begins for the running Python."""
    name, version = requirement.split('==')
    tag = 'cp{}{}'.format(*sys.version_info[:2])
    return f'{name.replace("-", "_")}-{version}-{tag}-'


def find_wheels(folder: Path | None, requirement: str) -> list[Path]:
    """Return the wheels in ``folder`` whose names fit the requirement and the running Python."""
    return sorted(folder.glob(wheel_prefix(requirement) + '*.whl')) if folder else []


def why_wheel_fails(env: Environment, wheel: Path) -> str:
    """Return why the operators in a wheel cannot be used beside the installed torch, or an empty string."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(wheel) as archive:
                inside = [name for name in archive.namelist() if re.fullmatch(r'mmcv/_ext\.[^/]*so', name)]
                if not inside:
                    return 'it holds no compiled operators (mmcv/_ext)'
                file = archive.extract(inside[0], folder)
        except (OSError, zipfile.BadZipFile) as error:
            return f'it cannot be read ({error})'
        try:
            env.run_python(LOAD_OPS, file)
        except SetupError as error:
            return f'its operators do not load beside the installed torch ({error})'
    return ''


def get_wheel(env: Environment, stack: Stack, wheels: Path | None, store: Path) -> Path:
    """Return a wheel of mmcv that works with the torch in ``env``; compile it if need be.

    Args:
        env: Environment in which torch and the build tools are installed.
        stack: Says which mmcv.
        wheels: The user's folder of prebuilt wheels.
        store: Where wheels compiled here are kept; must be one folder for each torch version.
    """
    for wheel in [*find_wheels(wheels, stack.mmcv), *find_wheels(store, stack.mmcv)]:
        why = why_wheel_fails(env, wheel)
        if not why:
            print(f'setup: taking the prebuilt {wheel.name} from {wheel.parent}')
            return wheel
        print(f'setup: not taking {wheel}: {why}')
    if wheels and not find_wheels(wheels, stack.mmcv):
        print(f'setup: no wheel {wheel_prefix(stack.mmcv)}*.whl in {wheels}; compiling')
    check_compiler()
    return compile_wheel(env, stack, store)


def compile_wheel(env: Environment, stack: Stack, store: Path) -> Path:
    """Compile mmcv and move the finished wheel into ``store`` in one step.

    Raises:
        SetupError: if the build fails or yields no working operators; the log stays.
    """
    jobs = int(os.environ.get('MAX_JOBS') or default_jobs())
    extra = {'MAX_JOBS': str(jobs), 'CFLAGS': f'{FLAGS} {os.environ.get("CFLAGS", "")}'.strip(), **stack.mmcv_env}
    extra.update(_without_cuda_compiler(env))
    expected = CORE_MINUTES / max(1, min(jobs, idle_cores())) + 0.5
    store.mkdir(parents=True, exist_ok=True)
    log = store / 'mmcv_build.log'
    print(
        f'setup: compiling {stack.mmcv} with {jobs} job(s): about {expected:.0f} minutes if the machine is otherwise '
        f'idle (with CUDA several times that). Log: {log}'
    )
    with tempfile.TemporaryDirectory(prefix='new-', dir=store) as folder:
        # Without pip's cache: it knows wheels by their source, not by the torch that they were compiled against.
        command = env.pip_command(
            *('wheel', '-v', '--no-cache-dir', '--no-deps', '--no-build-isolation'),
            *('--no-binary', stack.mmcv.split('==')[0], '--wheel-dir', folder, stack.mmcv),
        )
        code = _run_with_progress(command, env.variables(**extra), log, expected * 60)
        built = find_wheels(Path(folder), stack.mmcv)
        why = f'exit status {code}' if code else 'no wheel was made' if not built else why_wheel_fails(env, built[0])
        if why:
            tail = '\n'.join(log.read_text(errors='replace').splitlines()[-25:])
            raise SetupError(f'compiling {stack.mmcv} failed: {why}. End of {log}:\n{tail}')
        return Path(shutil.move(str(built[0]), str(store / built[0].name)))


def idle_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def default_jobs() -> int:
    """Return as many compiler jobs as cores, fewer where memory is short."""
    try:
        memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024**3
    except (ValueError, OSError):
        return idle_cores()
    return max(1, min(idle_cores(), int(memory / GIB_PER_JOB)))


def _without_cuda_compiler(env: Environment) -> dict[str, str]:
    """Have only the CPU operators compiled where torch sees a GPU but no CUDA compiler is there."""
    sees_gpu = env.run_python('import torch; print(torch.cuda.is_available())').strip() == 'True'
    cuda_home = os.environ.get('CUDA_HOME') or os.environ.get('CUDA_PATH') or '/usr/local/cuda'
    if not sees_gpu or shutil.which('nvcc') or Path(cuda_home, 'bin', 'nvcc').exists():
        return {}
    print(
        'setup: NOTICE: torch sees a GPU, but there is no CUDA compiler (nvcc). mmcv is compiled for the CPU only, and '
        "its operators will refuse tensors on the GPU. Install the CUDA toolkit of torch's version and run this again."
    )
    return {'CUDA_VISIBLE_DEVICES': '', 'FORCE_CUDA': '0'}


class Progress:
    """Reads a build's output, keeps count of compiled objects, and words how far the build is."""

    def __init__(self, expected_seconds: float) -> None:
        self.expected = expected_seconds
        self.done = 0
        self.total = 0

    def feed(self, line: str) -> None:
        """Take note of ninja's ``[done/total]``."""
        found = _OBJECT.match(line)
        if found:
            self.done, self.total = int(found[1]), int(found[2])

    def words(self, elapsed: float) -> str:
        """Return one line about the build after ``elapsed`` seconds."""
        left = max(0.0, self.expected - elapsed)
        if self.done >= 5:  # before that the first objects say little about the rest
            left = elapsed / self.done * (self.total - self.done)
        count = f'{self.done} of {self.total} objects compiled' if self.total else 'preparing'
        return f'mmcv: {count}, {_clock(elapsed)} gone, about {_clock(left)} left'


def _clock(seconds: float) -> str:
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d} min'


def _run_with_progress(command: list[str], variables: dict[str, str], log: Path, expected: float) -> int:
    progress, terminal, began = Progress(expected), sys.stdout.isatty(), time.monotonic()
    with log.open('w') as sink:
        process = subprocess.Popen(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            start_new_session=True,  # so that an interruption ends the compilers too
        )

        def read() -> None:
            for line in process.stdout or ():
                sink.write(line)
                sink.flush()
                progress.feed(line)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                reader.join(1 if terminal else 20)
                words = progress.words(time.monotonic() - began)
                print(f'\r\033[K{words}' if terminal else words, end='' if terminal else '\n', flush=True)
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
        finally:
            if terminal:
                print(flush=True)
    return code
