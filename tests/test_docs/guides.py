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


def run_shell(page: Path, folder: Path, repo_root: Path) -> str:
    """Run all blocks marked ``shell`` in one shell, with this environment's Python; what they print."""
    environment = {
        **os.environ,
        'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
        'PYTHONPATH': str(repo_root),
    }
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
