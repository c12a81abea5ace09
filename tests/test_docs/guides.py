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
}


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
