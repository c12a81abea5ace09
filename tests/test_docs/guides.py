"""Running the commands and the Python of a guide, as they stand on its page.

A block marked ``shell`` is run by a test, one marked ``bash`` is only shown: it needs data, a GPU, the network or time.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

# The test that runs the ``shell`` blocks of a page, all of them.
RUN_BY = {
    'docs/advanced_guides/mim.md': 'tests/test_mim/test_mim.py',
    'docs/advanced_guides/mmdet_tools.md': 'tests/test_ecosystem/test_mmdet_tools.py',
    'docs/concepts/ablations.md': 'tests/test_docs/test_ablations_page.py',
    'docs/concepts/captioning.md': 'tests/test_docs/test_short_guides.py',
    'docs/user_guides/caption_metrics.md': 'tests/test_docs/test_short_guides.py',
    'docs/user_guides/custom_data.md': 'tests/test_tools/test_dataset_converters.py',
    'docs/user_guides/deployment.md': 'tests/test_docs/test_deployment_guide.py',
    'docs/user_guides/error_report.md': 'tests/test_tools/test_error_report.py',
    'docs/user_guides/evaluation.md': 'tests/test_docs/test_evaluation_guide.py',
    'docs/user_guides/inference.md': 'tests/test_docs/test_inference_guide.py',
    'docs/user_guides/looking_at_data.md': 'tests/test_docs/test_short_guides.py',
    'docs/user_guides/shapes.md': 'tests/test_docs/test_short_guides.py',
    'docs/user_guides/train_coco.md': 'tests/test_docs/test_train_coco_guide.py',
    'docs/user_guides/training.md': 'tests/test_train/test_training_guide.py',
    'examples/README.md': 'tests/test_ecosystem/test_examples.py',
    'examples/captions_on_resnet/README.md': 'tests/test_ecosystem/test_examples.py',
    'examples/mmseg_on_gelan/README.md': 'tests/test_ecosystem/test_examples.py',
    'examples/retinanet_on_elan/README.md': 'tests/test_ecosystem/test_examples.py',
}


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
