"""The order of the set-up: check, make the environment, torch, mmcv, the rest, the package itself, try it out."""

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from . import checks, mmcv_build
from .checks import SetupError
from .environment import Environment, digest
from .stacks import DEFAULT_TORCH, STACKS, Stack

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ('runtime', 'tests', 'lint', 'docs')

_TRY = """
import cv2, torch
try:
    import mmcv._ext
except ImportError as error:
    raise SystemExit(f'mmcv lacks its compiled operators (import mmcv._ext: {error}): run make clean-env, then again')
import mmdet.models, mmengine, mmseg.models, mmyolor_mtl
print(f'torch {torch.__version__}, mmengine {mmengine.__version__}, mmcv {mmcv.__version__}, '
      f'mmdet {mmdet.__version__}, mmseg {mmseg.__version__}, mmyolor_mtl {mmyolor_mtl.__version__}')
"""


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; every option is one of the Makefile's variables."""
    parser = argparse.ArgumentParser(prog='setup_env', description=__doc__)
    parser.add_argument('--venv', default='', help='folder of the environment (default: .venv, .venv-openmmlab)')
    parser.add_argument('--stack', default='onedl', help=f'which packages: {" or ".join(STACKS)}')
    parser.add_argument('--torch', default='', help=f'requirement of torch (default: {DEFAULT_TORCH})')
    parser.add_argument('--wheels', default='', help='folder of prebuilt wheels, tried before compiling')
    parser.add_argument('--python-named', action='store_true', help='the user chose the interpreter: look for no other')
    args = parser.parse_args(arguments)
    if args.stack not in STACKS:
        raise SetupError(f'STACK={args.stack} is unknown; choose from: {", ".join(STACKS)}')
    if args.wheels and not Path(args.wheels).is_dir():
        raise SetupError(f'WHEELS={args.wheels}: there is no such folder')
    args.torch = args.torch or DEFAULT_TORCH
    args.wheels = Path(args.wheels).resolve() if args.wheels else None
    default = '.venv' if args.stack == 'onedl' else f'.venv-{args.stack}'
    args.venv = (ROOT / (args.venv or default)).absolute()
    return args


def keys(args: argparse.Namespace) -> tuple[str, str]:
    """Return the digest of what cannot be changed in place, and the digest of everything."""
    stack = STACKS[args.stack]
    base = [args.stack, sys.version, sys.base_prefix, args.torch, stack.mmcv, str(ROOT)]
    files = [ROOT / 'requirements' / f'{name}.txt' for name in REQUIREMENTS]
    files += [ROOT / 'setup.py', *Path(__file__).parent.glob('*.py')]
    return digest(base), digest(base, files)


def main(arguments: Sequence[str]) -> int:
    """Run the set-up and return the exit status."""
    # The compilers run in a session of their own; ended like Ctrl-C, the set-up takes them along.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        args = parse_arguments(arguments)
        env_key, key = keys(args)
        env = Environment(args.venv)
        if env.is_done(key):
            return 0
        with _locked(ROOT / 'build' / '.setup.lock'):
            if not env.is_done(key):
                _set_up(env, args, env_key, key)
    except SetupError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nsetup: interrupted; the next run makes the environment again', file=sys.stderr)
        return 130
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _set_up(env: Environment, args: argparse.Namespace, env_key: str, key: str) -> None:
    began, stack = time.monotonic(), STACKS[args.stack]
    fresh = env.read_note().get('state') != 'done'
    store = ROOT / 'build' / 'wheels'
    found = mmcv_build.find_wheels(args.wheels, stack.mmcv) or list(store.glob(f'*/{_wheel_glob(stack)}'))
    if fresh and not found:
        checks.check_compiler()
    if fresh:
        checks.check_disk_everywhere(env.path)
    adopted = env.prepare(env_key)
    env.write_note(state='building', adopted=adopted, env_key=env_key)

    _step(1, f'build tools and {args.torch}, in {env.path.name}')
    env.pip_install(['--upgrade', *stack.build_tools], 'the build tools')
    _check_torch(env, args.torch)
    env.pip_install(shlex.split(args.torch), args.torch)
    torch = env.run_python('import torch; print(torch.__version__)').strip()

    _step(2, f'{stack.mmcv} with its compiled operators')
    if not _has_mmcv(env, stack):
        wheel = mmcv_build.get_wheel(env, stack, args.wheels, store / f'torch-{torch}')
        env.pip_install(['--no-deps', '--force-reinstall', str(wheel)], stack.mmcv)

    _step(3, f'{", ".join(stack.packages[:3])}, tools for tests and lint')
    files = [f'--requirement={ROOT / "requirements" / name}.txt' for name in REQUIREMENTS]
    env.pip_install(['--no-build-isolation', stack.mmcv, *stack.packages, *files], 'the requirements')

    _step(4, 'mmyolor_mtl itself, editable')
    env.pip_install(['--no-build-isolation', '--no-deps', '--editable', str(ROOT)], 'the package')

    _step(5, 'trying it out')
    _mend_opencv(env)
    print('setup: ' + env.run_python(_TRY).strip())
    env.write_note(state='done', adopted=adopted, env_key=env_key, key=key, torch=torch)
    print(f'setup: done in {(time.monotonic() - began) / 60:.1f} minutes')
    print(f'setup: for commands of your own: source {shlex.quote(os.path.relpath(env.path / "bin/activate"))}')


def _step(number: int, what: str) -> None:
    print(f'[{number}/5] {what}', flush=True)


def _wheel_glob(stack: Stack) -> str:
    return mmcv_build.wheel_prefix(stack.mmcv) + '*.whl'


def _check_torch(env: Environment, requirement: str) -> None:
    """Ask pip what the requirement would bring: it must exist, and CUDA builds need far more room.

    Raises:
        SetupError: if there is no such release, or too little disk for it.
    """
    command = env.pip_command('install', '--quiet', '--dry-run', '--report', '-', *shlex.split(requirement))
    answer = subprocess.run(command, env=env.variables(), capture_output=True, text=True)
    if answer.returncode:
        raise SetupError(f'pip finds no way to install TORCH={requirement!r}:\n{answer.stderr.strip()}')
    names = [entry['metadata']['name'] for entry in json.loads(answer.stdout)['install']]
    if any(name.startswith('nvidia-') for name in names):
        checks.check_disk(env.path, checks.CUDA_GIB)
        print(f'setup: {requirement} comes with {len(names) - 1} more packages, CUDA among them (gigabytes)')


def _has_mmcv(env: Environment, stack: Stack) -> bool:
    """Whether this very mmcv is installed and its operators load."""
    name, version = stack.mmcv.split('==')
    code = (
        'import importlib.metadata as m, pathlib, sys\n'
        f'assert m.version({name!r}) == {version!r}\n'
        f'files = [f for f in m.files({name!r}) if str(f).startswith("mmcv/_ext.")]\n'
        'sys.argv[1:] = [str(files[0].locate())]\n'
    )
    try:
        env.run_python(code + mmcv_build.LOAD_OPS)
    except SetupError:
        return False
    return True


def _mend_opencv(env: Environment) -> None:
    """Take OpenCV's build without windows where the system lacks the libraries of the other one (libGL)."""
    try:
        env.run_python('import cv2')
    except SetupError as error:
        if '.so' not in str(error):
            raise
        version = env.run_python('import importlib.metadata as m; print(m.version("opencv-python"))').strip()
        print(f'setup: {error}; taking opencv-python-headless')
        headless = f'opencv-python-headless=={version}'
        env.pip_install(['--no-deps', '--force-reinstall', headless], headless)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Let one set-up at a time work in this checkout."""
    import fcntl

    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open('w') as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print('setup: another set-up is at work in this checkout; waiting for it', flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
