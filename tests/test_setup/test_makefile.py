"""The Makefile's own errors, and that lint is one thing everywhere."""

import os
import re
import subprocess

import pytest
import yaml

# A make that runs these tests hands its own options down.
INHERITED = (
    'MAKEFLAGS',
    'MFLAGS',
    'MAKEOVERRIDES',
    'MAKELEVEL',
    'STACK',
    'PYTHON',
    'TORCH',
    'WHEELS',
    'VENV',
    'DEMO_ARGS',
)


def make(repo_root, *arguments):
    variables = {name: value for name, value in os.environ.items() if name not in INHERITED}
    command = ['make', '--no-print-directory', '-C', str(repo_root), *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        ('PYTHON=no-such-python', 'no-such-python not found; CPython 3.10, 3.11 or 3.12 is needed'),
        ('STACK=nonsense', 'STACK=nonsense is unknown'),
        ('WHEELS=no/such/folder', 'there is no such folder'),
    ],
)
@pytest.mark.parametrize('target', ['setup', 'demo', 'test'])
def test_bad_options_end_at_once(repo_root, target, option, words):
    done = make(repo_root, target, option, 'VENV=work_dirs/no-such-venv')
    assert done.returncode != 0
    assert words in done.stderr
    assert not (repo_root / 'work_dirs' / 'no-such-venv').exists()


def test_help_names_every_target(repo_root):
    shown = make(repo_root, 'help').stdout
    phony = re.search(r'^\.PHONY: (.*)$', (repo_root / 'Makefile').read_text(), re.M)[1].split()
    assert not [target for target in phony if target != 'help' and f'make {target}' not in shown]


@pytest.mark.parametrize('target', ['demo', 'test', 'test-fast', 'test-slow', 'lint', 'format', 'docs', 'links'])
def test_every_target_makes_its_environment(repo_root, target):
    assert 'scripts/setup_env' in make(repo_root, '--dry-run', target).stdout


def test_options_reach_the_commands(repo_root):
    shown = make(
        repo_root, '--dry-run', 'demo', 'DEMO_ARGS=--quick', 'WHEELS=w', 'TORCH=torch==2.9.0', 'STACK=openmmlab'
    ).stdout
    assert "--venv='.venv-openmmlab' --stack='openmmlab' --torch='torch==2.9.0' --wheels='w'" in shown
    assert '.venv-openmmlab/bin/python demo/shapes_demo.py --quick' in shown


def test_pre_commit_mirrors_make_lint(repo_root):
    shown = make(repo_root, '--dry-run', 'lint').stdout.splitlines()
    lint = [line for line in shown if line.startswith('.venv/bin/')]
    hooks = yaml.safe_load((repo_root / '.pre-commit-config.yaml').read_text())['repos'][0]['hooks']
    assert lint == [hook['entry'] for hook in hooks] and len(lint) == 3


def test_ci_runs_lint_and_tests_and_fails_with_them(repo_root):
    script = (repo_root / '.ci' / 'run').read_text()
    assert 'set -euo pipefail' in script
    assert re.findall(r'^make (\w+)', script, re.M) == ['lint', 'test']
