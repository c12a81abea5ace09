"""The first file of the set-up: it must speak up on every Python 3."""

import os
import shutil
import subprocess
import sys

import pytest
from setup_env import __main__ as entry


@pytest.mark.parametrize('version', [(3, 10, 0), (3, 11, 7), (3, 12, 9)])
def test_supported_pythons_are_taken(version):
    assert entry.problem(version, 'CPython') == ''


@pytest.mark.parametrize(
    ('version', 'implementation', 'word'),
    [((3, 9, 18), 'CPython', '3.9'), ((3, 13, 0), 'CPython', '3.13'), ((3, 11, 0), 'PyPy', 'PyPy')],
)
def test_others_are_refused(version, implementation, word):
    assert word in entry.problem(version, implementation)


def test_wrong_python_that_was_named_ends_with_advice(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'version_info', (3, 8, 10))
    monkeypatch.setattr(sys, 'argv', ['setup_env', '--python-named'])
    monkeypatch.setattr(os, 'execvp', lambda *_: pytest.fail('must not choose another Python than the one named'))
    assert entry.run() == 1
    message = capsys.readouterr().err
    assert 'Python 3.8' in message and '3.10, 3.11 or 3.12' in message and 'PYTHON=' in message


def test_wrong_default_python_gives_way_to_one_that_fits(monkeypatch, tmp_path):
    name = 'python{}.{}'.format(*sys.version_info[:2])
    (tmp_path / name).symlink_to(sys.executable)
    for other in set(entry.OTHERS) - {name}:  # answers, but is not what its name says
        (tmp_path / other).symlink_to('/bin/false')
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setattr(sys, 'version_info', (3, 13, 0))
    monkeypatch.setattr(sys, 'argv', ['setup_env', '--stack=onedl'])
    calls = []
    monkeypatch.setattr(os, 'execvp', lambda file, arguments: calls.append((file, arguments)) or sys.exit(0))
    with pytest.raises(SystemExit):
        entry.run()
    assert calls[0][0] == name and calls[0][1][-1] == '--stack=onedl'


def test_file_parses_on_old_pythons(repo_root):
    old = next((p for p in ('python3.6', 'python3.7', 'python3.8', 'python3.9') if shutil.which(p)), None)
    source = repo_root / 'scripts' / 'setup_env' / '__main__.py'
    if old and subprocess.run([old, '-c', ''], capture_output=True).returncode == 0:
        done = subprocess.run([old, str(source.parent), '--python-named'], capture_output=True, text=True)
        assert done.returncode == 1 and 'is needed' in done.stderr
    else:  # no old one here: at least its grammar
        import ast

        ast.parse(source.read_text(), feature_version=(3, 6))
