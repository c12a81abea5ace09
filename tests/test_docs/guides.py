"""Running the commands and the Python of a guide, as they stand on its page."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any


def blocks(page: Path, language: str) -> list[str]:
    """Code blocks of a page that are marked with a language."""
    return re.findall(rf'^```{language}\n(.*?)^```$', page.read_text(), re.MULTILINE | re.DOTALL)


class Commands:
    """The commands of a page, to be run one by one: a line each, after those of the first block, which set variables.

    Args:
        page: Page with blocks marked ``shell``.
        environment: Variables of the shell beside those of this process.
    """

    def __init__(self, page: Path, environment: dict[str, str]) -> None:
        self.setup, *rest = blocks(page, 'shell')
        self.lines = [line for block in rest for line in block.replace('\\\n', '').splitlines()]
        self.environment = environment

    def run(self, folder: Path, words: str) -> str:
        """Run the one command that holds these words; all it prints."""
        (line,) = [line for line in self.lines if words in line]
        done = self.shell(folder, line)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    def shell(self, folder: Path, line: str) -> subprocess.CompletedProcess:
        """Run any line with the variables of the page."""
        command = ['bash', '-euo', 'pipefail', '-c', f'{self.setup}\n{line}']
        return subprocess.run(
            command, cwd=folder, env={**os.environ, **self.environment}, capture_output=True, text=True
        )


def checkout_environment(repo_root: Path) -> dict[str, str]:
    """Variables for commands that run with this environment's Python and this checkout."""
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    return {'PATH': path, 'PYTHONPATH': str(repo_root)}


def run_shell(page: Path, folder: Path, repo_root: Path) -> str:
    """Run all blocks marked ``shell`` in one shell, with this environment's Python; what they print."""
    environment = {**os.environ, **checkout_environment(repo_root)}
    commands = ['bash', '-euxo', 'pipefail', '-c', '\n'.join(blocks(page, 'shell'))]
    done = subprocess.run(commands, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def run_python(page: Path) -> dict[str, Any]:
    """Run all blocks marked ``python`` one after the other in the current folder; the names they define."""
    names: dict[str, Any] = {}
    for block in blocks(page, 'python'):
        exec(compile(block, str(page), 'exec'), names)
    return names
