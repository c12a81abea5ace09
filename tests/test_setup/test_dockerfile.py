"""The Dockerfile, read: good practice, the versions of the project, and a package that builds from what it copies."""

import re
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from setup_env.stacks import DEFAULT_TORCH, STACKS

INSTRUCTIONS = {'ARG', 'FROM', 'SHELL', 'RUN', 'ENV', 'COPY', 'USER', 'WORKDIR', 'CMD'}


@pytest.fixture(scope='module')
def stages(repo_root):
    """Instructions before the first FROM, and those of each stage, as (name, arguments)."""
    text = (repo_root / 'docker/Dockerfile').read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith('#')]
    joined = re.sub(r'\\\n\s*', '', '\n'.join(lines)).splitlines()
    found = [[]]
    for name, _, arguments in (line.partition(' ') for line in joined):
        if name == 'FROM':
            found.append([])
        found[-1].append((name, arguments.strip()))
    return found


def of(stage, name):
    return [arguments for instruction, arguments in stage if instruction == name]


def defaults(stages):
    pairs = [argument.partition('=') for stage in stages for argument in of(stage, 'ARG')]
    return {name: value.strip('"') for name, _, value in pairs}


def test_instructions_are_known(stages):
    assert {name for stage in stages for name, _ in stage} == INSTRUCTIONS  # ADD would unpack and download


def test_images_are_pinned(stages):
    values = defaults(stages)
    for stage in stages[1:]:
        image = re.sub(r'\$\{(\w+)\}', lambda match: values[match[1]], stage[0][1].split()[0])
        assert re.fullmatch(r'[\w./-]+:\d+\.\d+\.\d+[\w.-]*', image), image
    assert {argument.split('=')[0] for argument in of(stages[0], 'ARG')} == {'BUILD_IMAGE', 'RUNTIME_IMAGE'}


def test_what_runs_is_not_root_and_has_no_compiler(stages):
    last = stages[-1]
    (user,) = of(last, 'USER')
    names = [name for name, _ in last]
    assert user != 'root' and names.index('USER') > max(i for i, name in enumerate(names) if name == 'RUN')
    assert any(f' --uid 10001 {user} ' in f'{command} ' for command in of(last, 'RUN'))
    assert not any('build-essential' in command for command in of(last, 'RUN'))


def test_layers_carry_no_caches(stages):
    for command in (command for stage in stages for command in of(stage, 'RUN')):
        if 'apt-get' in command:
            assert command.startswith('apt-get update') and '--no-install-recommends' in command
            assert 'rm -rf /var/lib/apt/lists/*' in command
        assert command.count('pip install') == command.count('pip install --no-cache-dir')


def test_versions_are_those_of_the_project(stages, repo_root):
    values, (build,) = defaults(stages), [stage for stage in stages if ' AS build' in stage[0][1]]
    assert values['TORCH'].split('+')[0] == DEFAULT_TORCH
    python = re.match(r'python:(\d+\.\d+)', values['BUILD_IMAGE'])[1]
    assert f"'Programming Language :: Python :: {python}'" in (repo_root / 'setup.py').read_text()
    installs = ' '.join(of(build, 'RUN')).replace('"', '')
    for tool in STACKS['onedl'].build_tools:
        assert Requirement(tool).name == 'pip' or f' {tool} ' in f'{installs} ', tool
    # The steps of the guide for an environment of one's own, in its order.
    guide = (repo_root / 'docs/get_started.md').read_text()
    assert 'CFLAGS="-g0 -O1" pip install --no-build-isolation ".[onedl]"' in guide
    order = ['${TORCH}', 'ninja', 'requirements/onedl.txt', '/src[onedl]']
    assert [installs.index(part) for part in order] == sorted(installs.index(part) for part in order)


def sources(stages):
    """Paths of the checkout that are copied, with their targets."""
    for command in (command for stage in stages for command in of(stage, 'COPY')):
        words = [word for word in command.split() if not word.startswith('--chown')]
        if not words[0].startswith('--from='):
            yield from ((word, words[-1]) for word in words[:-1])


def test_copied_paths_exist_and_are_sent(stages, repo_root):
    ignored = (repo_root / 'docker/Dockerfile.dockerignore').read_text().split('\n')
    for source, _ in sources(stages):
        assert (repo_root / source).exists(), source
        assert source.split('/')[0] not in ignored, source


def test_the_package_builds_from_what_is_copied(stages, repo_root, tmp_path):
    for source, target in sources(stages):
        if not target.startswith('/src'):
            continue
        path = tmp_path / 'src' / source
        if (repo_root / source).is_dir():
            shutil.copytree(repo_root / source, path, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy2(repo_root / source, path)
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--quiet']
    done = subprocess.run([*command, '-w', tmp_path / 'out', tmp_path / 'src'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = (tmp_path / 'out').glob('mmyolor_mtl-*.whl')
    names = subprocess.run([sys.executable, '-m', 'zipfile', '-l', wheel], capture_output=True, text=True).stdout
    assert 'mmyolor_mtl/.mim/tools/train.py' in names and 'mmyolor_mtl/.mim/model-index.yml' in names


def test_the_page_knows_the_arguments(stages, repo_root):
    page = (repo_root / 'docs/advanced_guides/docker.md').read_text()
    known = set(defaults(stages))
    assert set(re.findall(r'--build-arg (\w+)=', page)) <= known
    table = set(re.findall(r'`([A-Z][A-Z_]+)`', page))
    assert table == known
    assert 'not built in continuous integration' in page
    (user,) = of(stages[-1], 'USER')
    assert f'user `{user}` in `{of(stages[-1], "WORKDIR")[0]}`' in page
