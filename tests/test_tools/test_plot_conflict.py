"""The picture of task gradients over training."""

import json
import re
import subprocess
import sys

import cv2
import pytest

from tools.analysis_tools.plot_conflict import main, read


def look(iteration, cosine):
    figures = {'norm': {'det': 2.0, 'sem': 1.0}, 'cosine': {'det-sem': cosine}, 'norm_ratio': {'det-sem': 2.0}}
    return json.dumps({'iter': iteration, 'epoch': 0, 'layers': {'backbone.stage4': figures, 'neck': figures}})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'grad_conflict.jsonl'
    path.write_text('\n'.join(look(i, c) for i, c in ((0, 0.5), (10, 0.2), (20, 0.9), (10, -0.3))) + '\n{"iter": 3')
    return path


def test_later_lines_count_and_a_line_that_was_cut_off_does_not(file):
    curves = read(file)
    assert set(curves) == {'backbone.stage4', 'neck'}
    assert curves['neck']['cosine'] == {'det-sem': ([0, 10, 20], [0.5, -0.3, 0.9])}


def test_the_command_of_the_docs_draws(file, repo_root):
    script = repo_root / 'tools/analysis_tools/plot_conflict.py'
    out = file.with_name('conflict.png')
    done = subprocess.run([sys.executable, script, file, '--out', out, '--window', '2'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    picture = cv2.imread(str(out))
    assert picture.shape[0] > 500 and picture.shape[1] > 1000 and picture.std() > 10
    assert sorted(path.name for path in file.parent.iterdir()) == ['conflict.png', 'grad_conflict.jsonl']


@pytest.mark.parametrize(
    ('arguments', 'content', 'message'),
    [
        ([], 'not json\n{}\n', 'line 1'),
        ([], '{"iter": 0, "epoch": 0, "layers": {}}\n', 'holds no figures'),
        (['--layers', 'head'], look(0, 0.1) + '\n', r"\['head'\] are not in"),
        (['--window', '0'], look(0, 0.1) + '\n', '--window 0'),
    ],
)
def test_bad_input_is_named(tmp_path, capsys, arguments, content, message):
    path = tmp_path / 'looks.jsonl'
    path.write_text(content)
    assert main([str(path), *arguments]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert not list(tmp_path.glob('*.png'))
