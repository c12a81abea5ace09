"""A wheel of this checkout, and small environments with one of the two mim's and that wheel. No torch in them."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

STUB = 'import sys\nprint("STUB", *sys.argv[1:])\n'


@pytest.fixture(scope='session')
def wheel(repo_root, tmp_path_factory) -> Path:
    """The wheel that ``pip install .`` would install, built from a copy of what git tracks or would track."""
    listed = subprocess.run(
        ['git', '-C', str(repo_root), 'ls-files', '-co', '--exclude-standard', '-z'], capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip('not a git checkout')
    source, target = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    for name in filter(None, listed.stdout.split('\0')):
        if (repo_root / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((repo_root / name).read_bytes())
    command = [sys.executable, '-m', 'pip', '-q', 'wheel', '--no-deps', '--no-build-isolation', '-w', str(target)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    assert not (source / 'mmyolor_mtl' / '.mim').exists() and not (source / 'build').exists()
    return next(target.glob('*.whl'))


@pytest.fixture(scope='session')
def wheel_names(wheel) -> list[str]:
    """What lies in the wheel."""
    return zipfile.ZipFile(wheel).namelist()


class MimEnvironment:
    """A virtual environment with a mim."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.python = path / 'bin' / 'python'

    def pip(self, *arguments: str) -> None:
        """Install, or skip the test where no index can be reached."""
        command = [str(self.python), '-m', 'pip', 'install', '-q', '--disable-pip-version-check', *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f'pip could not install {arguments}: {done.stderr.strip().splitlines()[-1:]}')

    def mim(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run mim in an empty folder, so that it must find everything in the installed package."""
        variables = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
        variables['PATH'] = f'{self.path / "bin"}{os.pathsep}{variables["PATH"]}'
        (self.path / 'empty').mkdir(exist_ok=True)
        command = [str(self.path / 'bin' / 'mim'), *arguments]
        return subprocess.run(command, cwd=self.path / 'empty', env=variables, capture_output=True, text=True)


def make_environment(path: Path, wheel: Path, *requirements: str) -> MimEnvironment:
    """Make an environment with a mim and the wheel, and replace the package's scripts by stubs."""
    venv.create(path, with_pip=True)
    env = MimEnvironment(path)
    # Without their own requirements: the mims pin an old setuptools for downloads that are of no use here.
    env.pip('setuptools<81', 'click', 'colorama', 'model-index', 'requests', 'rich', 'tabulate', 'pandas')
    env.pip('--no-deps', *requirements, str(wheel))
    for script in path.glob('lib/python*/site-packages/mmyolor_mtl/.mim/tools/t*.py'):
        script.write_text(STUB)
    return env
