import sys
import zipfile

import pytest
from setup_env import mmcv_build
from setup_env.checks import SetupError
from setup_env.environment import Environment
from setup_env.stacks import STACKS

ONEDL = STACKS['onedl']
TAG = 'cp{}{}'.format(*sys.version_info[:2])
NAME = f'onedl_mmcv-2.3.6-{TAG}-{TAG}-linux_x86_64.whl'


def make_wheel(folder, *files):
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / NAME, 'w') as archive:
        for file in files or ('mmcv/__init__.py',):
            archive.writestr(file, 'no library')
    return folder / NAME


@pytest.fixture
def env(tmp_path, monkeypatch):
    env = Environment(tmp_path / 'venv')
    env.python = type(tmp_path)(sys.executable)
    monkeypatch.setattr(mmcv_build, '_without_cuda_compiler', lambda env: {})
    monkeypatch.setattr(mmcv_build, 'check_compiler', lambda: None)
    return env


def test_only_wheels_for_this_python_and_version_are_found(tmp_path):
    for name in (NAME, NAME.replace(TAG, 'cp36'), NAME.replace('2.3.6', '2.3.5'), 'other-1.0-py3-none-any.whl'):
        (tmp_path / name).touch()
    assert [wheel.name for wheel in mmcv_build.find_wheels(tmp_path, ONEDL.mmcv)] == [NAME]
    assert mmcv_build.find_wheels(None, ONEDL.mmcv) == []


def test_wheel_without_operators_is_refused(env, tmp_path):
    assert 'no compiled operators' in mmcv_build.why_wheel_fails(env, make_wheel(tmp_path / 'w'))


def test_wheel_whose_operators_do_not_load_is_refused(env, tmp_path):
    wheel = make_wheel(tmp_path / 'w', 'mmcv/_ext.cpython-x.so')
    assert 'do not load' in mmcv_build.why_wheel_fails(env, wheel)


def test_damaged_wheel_is_refused(env, tmp_path):
    (tmp_path / NAME).write_bytes(b'half a downl')
    assert 'cannot be read' in mmcv_build.why_wheel_fails(env, tmp_path / NAME)


def test_unfit_wheel_leads_to_compiling_with_a_notice(env, tmp_path, monkeypatch, capsys):
    make_wheel(tmp_path / 'wheels')
    monkeypatch.setattr(mmcv_build, 'compile_wheel', lambda env, stack, store: store / 'compiled.whl')
    got = mmcv_build.get_wheel(env, ONEDL, tmp_path / 'wheels', tmp_path / 'store')
    assert got.name == 'compiled.whl'
    assert 'not taking' in capsys.readouterr().out


def test_fitting_wheel_is_taken_without_a_compiler(env, tmp_path, monkeypatch):
    wheel = make_wheel(tmp_path / 'wheels', 'mmcv/_ext.so')
    monkeypatch.setattr(mmcv_build, 'why_wheel_fails', lambda env, wheel: '')
    monkeypatch.setattr(mmcv_build, 'check_compiler', lambda: pytest.fail('nothing is to be compiled'))
    assert mmcv_build.get_wheel(env, ONEDL, tmp_path / 'wheels', tmp_path / 'store') == wheel


def pretend_build(env, monkeypatch, script):
    """Let a few lines of Python stand for ``pip wheel``; their argument is the folder for the wheel."""

    def command(*arguments):
        return [sys.executable, '-c', script, arguments[arguments.index('--wheel-dir') + 1], NAME]

    monkeypatch.setattr(env, 'pip_command', command)


GOOD = """
import sys, zipfile
for i in range(1, 79): print(f'  [{i}/78] c++ -c op{i}.cpp')
zipfile.ZipFile(sys.argv[1] + '/' + sys.argv[2], 'w').writestr('mmcv/_ext.so', 'x')
"""


def test_compiling_shows_duration_and_progress_and_stores_the_wheel(env, tmp_path, monkeypatch, capsys):
    pretend_build(env, monkeypatch, GOOD)
    monkeypatch.setattr(mmcv_build, 'why_wheel_fails', lambda env, wheel: '')
    store = tmp_path / 'store'
    wheel = mmcv_build.compile_wheel(env, ONEDL, store)
    assert wheel == store / NAME and wheel.is_file()
    shown = capsys.readouterr().out
    assert 'minutes if the machine is otherwise idle' in shown
    assert '78 of 78 objects compiled' in shown


@pytest.mark.parametrize(
    'script', ['import sys; print("fatal error: no memory"); sys.exit(1)', 'print("fatal error: nothing to do")']
)
def test_failed_build_leaves_no_wheel_and_shows_the_log(env, tmp_path, monkeypatch, script):
    pretend_build(env, monkeypatch, script)
    with pytest.raises(SetupError, match='fatal error'):
        mmcv_build.compile_wheel(env, ONEDL, tmp_path / 'store')
    assert [path.name for path in (tmp_path / 'store').iterdir()] == ['mmcv_build.log']


def test_build_without_operators_is_an_error_and_leaves_no_wheel(env, tmp_path, monkeypatch):
    pretend_build(env, monkeypatch, GOOD.replace('mmcv/_ext.so', 'mmcv/__init__.py'))
    with pytest.raises(SetupError, match='no compiled operators'):
        mmcv_build.compile_wheel(env, ONEDL, tmp_path / 'store')
    assert not list((tmp_path / 'store').glob('*.whl'))


def test_progress_words():
    progress = mmcv_build.Progress(expected_seconds=360)
    assert 'preparing' in progress.words(10) and 'about 5:50 min left' in progress.words(10)
    progress.feed('   [39/78] c++ -MMD -O1 -c roi_align.cpp')
    progress.feed('note: unused array[3/4] ')
    assert '39 of 78 objects' in progress.words(120) and 'about 2:00 min left' in progress.words(120)


def test_flags_of_the_user_are_kept(env, tmp_path, monkeypatch):
    pretend_build(env, monkeypatch, GOOD + "import os; assert os.environ['CFLAGS'] == '-g0 -O1 -march=native'\n")
    monkeypatch.setenv('CFLAGS', '-march=native')
    monkeypatch.setattr(mmcv_build, 'why_wheel_fails', lambda env, wheel: '')
    mmcv_build.compile_wheel(env, ONEDL, tmp_path / 'store')
