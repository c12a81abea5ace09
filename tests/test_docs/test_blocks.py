"""Every command on a page is run by a test or marked as shown only, and those that are only shown are spelt right."""

import re
import shlex
from pathlib import Path

import pytest

from .guides import RUN_BY, blocks

ROOT = Path(__file__).resolve().parents[2]
BELOW = [path for folder in ('docs', 'configs', 'docker', 'examples') for path in (ROOT / folder).rglob('*.md')]
PAGES = sorted([*ROOT.glob('*.md'), *(path for path in BELOW if '_build' not in path.parts)])
LANGUAGES = {'', 'shell', 'bash', 'python', 'json', 'text', '{toctree}', '{eval-rst}', '{include}'}
# Where arguments that several command lines share are defined.
SHARED = ('utils/cli.py', 'apis/command_line.py', 'datasets/converters/cli.py')


def name(page):
    return page.relative_to(ROOT).as_posix()


def test_every_shell_block_belongs_to_a_page_that_a_test_runs():
    assert {name(page) for page in PAGES if blocks(page, 'shell')} == RUN_BY.keys()


@pytest.mark.parametrize('page', RUN_BY)
def test_that_test_reads_the_page(page):
    test = (ROOT / RUN_BY[page]).read_text()
    assert Path(page).name in test and 'shell' in test


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_blocks_have_a_language_that_says_what_becomes_of_them(page):
    fences = re.findall(r'^```(\S*)', page.read_text(), re.MULTILINE)
    assert len(fences) % 2 == 0 and set(fences[::2]) <= LANGUAGES and set(fences[1::2]) <= {''}


def commands(page):
    """(script, options) of the Python tools that a page calls."""
    for block in [*blocks(page, 'shell'), *blocks(page, 'bash')]:
        for line in block.replace('\\\n', ' ').splitlines():
            for command in re.split(r'&&|\|', line):
                words = shlex.split(command, comments=True)
                scripts = [word for word in words if re.fullmatch(r'(?:tools|demo|docs/scripts)/[\w/]+\.py', word)]
                if scripts:
                    yield scripts[0], [re.sub(r'[=\]].*', '', word.lstrip('[')) for word in words if '--' in word[:3]]


@pytest.mark.parametrize('page', [page for page in PAGES if any(commands(page))], ids=name)
def test_options_exist(page):
    shared = ''.join((ROOT / 'mmyolor_mtl' / path).read_text() for path in SHARED)
    for script, options in commands(page):
        source = (ROOT / script).read_text() + shared
        assert not [option for option in options if f"'{option}'" not in source], script


def test_commands_are_found():
    found = [command for page in PAGES for command in commands(page)]
    assert len(found) > 40 and sum(len(options) for _, options in found) > 40
