"""Rules for everything that is tracked."""

import re
import subprocess
from collections import Counter

import pytest
import yaml
from packaging.requirements import Requirement
from setup_env.stacks import STACKS

from mmyolor_mtl.version import __version__

# Written in pieces, as this file is tracked too: folders of one machine, and hosts that a user's settings choose.
FORBIDDEN = re.compile(
    '|'.join(
        ['/wo' + 'rk/', '/ro' + 'ot/', '/fa' + 'rm/', '/tmp/(?:lab|spec|bash)', r'py' + r'pi\.org', 'python' + 'hosted']
    )
)


@pytest.fixture(scope='module')
def tracked(repo_root):
    done = subprocess.run(['git', '-C', str(repo_root), 'ls-files'], capture_output=True, text=True)
    if done.returncode:
        pytest.skip('not a git checkout')
    return [repo_root / name for name in done.stdout.splitlines() if (repo_root / name).is_file()]


def read(path):
    try:
        return path.read_text()
    except UnicodeDecodeError:  # pictures
        return ''


def test_no_machine_paths_and_no_registry_hosts(tracked):
    found = [f'{path}: {match[0]}' for path in tracked for match in FORBIDDEN.finditer(read(path))]
    assert not found


def test_config_stems_are_unique(tracked, repo_root):
    stems = Counter(
        path.stem for path in tracked if path.suffix == '.py' and 'configs' in path.relative_to(repo_root).parts
    )
    assert not [stem for stem, count in stems.items() if count > 1]


def test_nothing_big_is_tracked(tracked):
    assert not [path for path in tracked if path.stat().st_size > 3_000_000]


def test_install_requires_no_torch_and_no_mm_packages(repo_root):
    names = {Requirement(line).name for line in (repo_root / 'requirements' / 'runtime.txt').read_text().split()}
    assert names == {'numpy', 'pycocotools', 'nltk', 'packaging'}


@pytest.mark.parametrize(('stack', 'file'), [('onedl', 'onedl'), ('openmmlab', 'mim')])
def test_published_ranges_admit_the_tested_versions(repo_root, stack, file):
    lines = (repo_root / 'requirements' / f'{file}.txt').read_text().splitlines()
    ranges = {
        requirement.name: requirement.specifier
        for requirement in (Requirement(line) for line in lines if line and not line.startswith('#'))
    }
    pins = [Requirement(text) for text in (STACKS[stack].mmcv, *STACKS[stack].packages) if '==' in text]
    assert len(pins) == 4
    for pin in pins:
        assert ranges[pin.name].contains(next(iter(pin.specifier)).version)


def test_licence_is_apache(repo_root):
    text = (repo_root / 'LICENSE').read_text()
    assert 'Apache License' in text and 'END OF TERMS AND CONDITIONS' in text


def test_scripts_that_pages_name_exist(tracked, repo_root):
    named = re.compile(r'(?:\bdocs/|\b)(?:tools|demo|scripts|configs)/[\w./-]+\.(?:py|sh)\b')
    pages = [path for path in tracked if path.suffix == '.md']
    # What readers make, and what is abbreviated.
    examples = re.compile(r'configs/(?:yolor_mtl/CONFIG|custom/my_data|FAMILY/NAME)\.py|.*\.\.\..*')
    missing = [
        f'{page.name}: {name}'
        for page in pages
        for name in named.findall(page.read_text())
        if not examples.fullmatch(name) and not (repo_root / name).is_file()
    ]
    assert not missing


def test_the_citation_has_this_version(repo_root):
    citation = yaml.safe_load((repo_root / 'CITATION.cff').read_text())
    assert citation['version'] == __version__ and citation['license'] == 'Apache-2.0'
    (paper,) = citation['references']
    assert '2309.16921' in paper['url'] and len(paper['authors']) == 5


@pytest.mark.parametrize('name', ['bug', 'feature', 'question'])
def test_issue_forms_have_what_a_form_needs(repo_root, name):
    form = yaml.safe_load((repo_root / f'.github/ISSUE_TEMPLATE/{name}.yml').read_text())
    assert {'name', 'description', 'body'} <= form.keys()
    fields = [field for field in form['body'] if field['type'] != 'markdown']
    assert len({field['id'] for field in fields}) == len(fields)
    assert all(field['attributes']['label'] for field in fields)
    assert any(field.get('validations', {}).get('required') for field in fields)
