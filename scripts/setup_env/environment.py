"""The virtual environment: making it, running pip in it, and remembering whether it is complete."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from .checks import SetupError

MARKER = '.mmyolor_mtl_setup.json'


class Environment:
    """A virtual environment and the note in it that says how far its set-up came.

    The note is written ``building`` before anything is installed and ``done`` after everything was tried out, so an
    environment whose set-up was cut off is never taken for a complete one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.python = path / 'bin' / 'python'

    # -- the note ---------------------------------------------------------------------------------------------------
    def read_note(self) -> dict[str, str]:
        """Return the note, empty when there is none or when it cannot be read."""
        try:
            note = json.loads((self.path / MARKER).read_text())
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def write_note(self, **note: str) -> None:
        """Replace the note in one step."""
        draft = self.path / (MARKER + '.new')
        draft.write_text(json.dumps(note, indent=1, sort_keys=True) + '\n')
        draft.replace(self.path / MARKER)

    def is_done(self, key: str) -> bool:
        """Whether the set-up was completed with these very options and requirement files."""
        note = self.read_note()
        return note.get('state') == 'done' and note.get('key') == key and self.python.exists()

    # -- making it --------------------------------------------------------------------------------------------------
    def prepare(self, env_key: str) -> str:
        """Make the environment, or take what is there if it can be brought up to date in place.

        Args:
            env_key: Digest of what cannot be changed in place (Python, torch, stack, folder).

        Returns:
            ``'yes'`` if the folder was there before this set-up ever ran (it is then never removed), else ``'no'``.
        """
        note = self.read_note()
        if self.path.exists() and not note and not (self.path / 'pyvenv.cfg').exists():
            raise SetupError(f'{self.path} exists and is no virtual environment; remove it or give VENV=other')
        if self.path.exists() and (not note or note.get('adopted') == 'yes'):
            self._check_adopted(note, env_key)
            return 'yes'
        if note and not (note.get('state') == 'done' and note.get('env_key') == env_key and self.python.exists()):
            why = 'its set-up was cut off' if note.get('state') != 'done' else 'it was made with other options'
            print(f'setup: {self.path.name}: {why}; making it again')
            shutil.rmtree(self.path)
        if not self.path.exists():
            self._create()
        return 'no'

    def _check_adopted(self, note: dict[str, str], env_key: str) -> None:
        version = self.run_python('import sys; print("%d.%d" % sys.version_info[:2])') if self.python.exists() else ''
        wanted = '{}.{}'.format(*sys.version_info[:2])
        if version.strip() != wanted or (note and note.get('env_key') != env_key):
            raise SetupError(
                f'{self.path} was not made by this set-up and does not fit (Python {version.strip() or "missing"} in '
                f'it, {wanted} wanted, or other options than last time); remove it or give VENV=other'
            )
        print(f'setup: {self.path.name} was not made by this set-up; bringing it up to date in place')

    def _create(self) -> None:
        self.path.mkdir(parents=True)
        self.write_note(state='building')
        command = [sys.executable, '-m', 'venv']
        made = subprocess.run([*command, str(self.path)], capture_output=True, text=True)
        if made.returncode == 0:
            return
        # Debian splits ensurepip off; the pip of the system can then put one into the environment.
        bare = subprocess.run([*command, '--without-pip', str(self.path)], capture_output=True, text=True)
        pip = [sys.executable, '-m', 'pip', '--python', str(self.python), 'install', 'pip']
        if bare.returncode or subprocess.run(pip, capture_output=True, text=True).returncode:
            shutil.rmtree(self.path)
            raise SetupError(
                f'{sys.executable} cannot make a virtual environment (Debian, Ubuntu: apt-get install python3-venv):\n'
                + (made.stdout + made.stderr).strip()
            )

    # -- using it ---------------------------------------------------------------------------------------------------
    def variables(self, **extra: str) -> dict[str, str]:
        """Return the process environment with this virtual environment first on ``PATH``."""
        env = {name: value for name, value in os.environ.items() if name not in ('PYTHONHOME', 'PYTHONPATH')}
        env['VIRTUAL_ENV'] = str(self.path)
        env['PATH'] = f'{self.path / "bin"}{os.pathsep}{env.get("PATH", os.defpath)}'
        return {**env, **extra}

    def pip_command(self, *arguments: str) -> list[str]:
        """Return the command line of pip; indexes, proxies and certificates stay the user's own settings."""
        return [str(self.python), '-m', 'pip', '--disable-pip-version-check', '--no-input', *arguments]

    def pip_install(self, arguments: Sequence[str], what: str) -> None:
        """Install with pip, showing its own progress on a terminal only.

        Raises:
            SetupError: if pip fails.
        """
        quiet = [] if sys.stdout.isatty() else ['-qq']
        sys.stdout.flush()
        code = subprocess.run(self.pip_command('install', *quiet, *arguments), env=self.variables()).returncode
        if code:
            raise SetupError(
                f'pip could not install {what} (exit status {code}, its words are above). If the network failed, run '
                'the same command again: downloads and the compiled mmcv are kept'
            )

    def run_python(self, code: str, *arguments: str) -> str:
        """Run a line of Python in the environment and return what it printed.

        Raises:
            SetupError: with the last line of the traceback.
        """
        done = subprocess.run(
            [str(self.python), '-c', code, *arguments], env=self.variables(), capture_output=True, text=True
        )
        if done.returncode:
            raise SetupError((done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1])
        return done.stdout


def digest(parts: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Return a digest of some strings and of the contents of some files."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.encode() + b'\0')
    for file in sorted(files):
        sha.update(file.name.encode() + b'\0' + file.read_bytes() + b'\0')
    return sha.hexdigest()
