"""A wheel of this checkout, and virtual environments with one of the two mims, which borrow the stack of this one."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

PIP = (sys.executable, '-m', 'pip', '--disable-pip-version-check')
# What the mims need and this environment lacks; what they say they require are old versions for downloads.
NEEDED = (
    *('setuptools<81', 'colorama', 'model-index', 'ordered-set', 'pandas', 'tabulate'),
    *('requests', 'certifi', 'charset-normalizer', 'idna', 'urllib3'),
)


@pytest.fixture(scope='session')
def source(repo_root, tmp_path_factory) -> Path:
    """A copy of what git tracks or would track."""
    listed = subprocess.run(
        ['git', '-C', str(repo_root), 'ls-files', '-co', '--exclude-standard', '-z'], capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip('not a git checkout')
    source = tmp_path_factory.mktemp('source')
    for name in filter(None, listed.stdout.split('\0')):
        if (repo_root / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(repo_root / name, source / name)
    return source


@pytest.fixture(scope='session')
def wheel(source, tmp_path_factory) -> Path:
    """The wheel that ``pip install .`` would install."""
    target = tmp_path_factory.mktemp('wheel')
    command = [*PIP, '-q', 'wheel', '--no-deps', '--no-build-isolation', '-w', str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    assert not (source / 'mmyolor_mtl' / '.mim').exists() and not (source / 'build').exists()
    return next(target.glob('*.whl'))


@pytest.fixture(scope='session')
def wheel_names(wheel) -> list[str]:
    """What lies in the wheel."""
    return zipfile.ZipFile(wheel).namelist()


class MimEnvironment:
    """A virtual environment with a mim and this package, and a folder in which nothing of a checkout lies.

    torch and the mm* packages are those of the environment of the tests, at the end of the path: its editable
    install of this package is not among them.

    Args:
        folder: Where to make it.
        mim: Requirement of a mim.
        package: What pip is given to install this package.
    """

    def __init__(self, folder: Path, mim: str, *package: str) -> None:
        self.folder = folder / 'elsewhere'
        self.folder.mkdir()
        self.bin = folder / 'venv/bin'
        subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(self.bin.parent)], check=True)
        self._pip('-q', *NEEDED, mim)
        self._pip('-q', '--no-build-isolation', *package)
        (site,) = self.bin.parent.glob('lib/python*/site-packages')
        (site / 'stack.pth').write_text(sysconfig.get_path('purelib') + '\n')

    def _pip(self, *arguments: str) -> None:
        """Install, or skip the test where no index can be reached."""
        command = [*PIP, '--python', str(self.bin / 'python'), 'install', '--no-deps', *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f'pip could not install {arguments}: {done.stderr.strip().splitlines()[-1:]}')

    @property
    def variables(self) -> dict[str, str]:
        """Variables for commands that run in it."""
        return {'PATH': f'{self.bin}{os.pathsep}{os.environ["PATH"]}', 'PYTHONPATH': '', 'MPLBACKEND': 'Agg'}

    def mim(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run mim in the folder; questions are answered with no."""
        return subprocess.run(
            [str(self.bin / 'mim'), *arguments],
            cwd=self.folder,
            env={**os.environ, **self.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
