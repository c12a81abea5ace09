"""The set-up as a whole, with pip and the network replaced."""

import os
import signal
import subprocess
import sys
import time

import pytest
from setup_env import checks, main, mmcv_build
from setup_env.checks import SetupError
from setup_env.environment import Environment


@pytest.fixture(autouse=True)
def _restore_signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def root(tmp_path, monkeypatch, repo_root):
    """A checkout of its own, so that no test touches the environment that it runs in."""
    (tmp_path / 'requirements').mkdir()
    for name in main.REQUIREMENTS:
        (tmp_path / 'requirements' / f'{name}.txt').write_text('numpy\n')
    (tmp_path / 'setup.py').touch()
    monkeypatch.setattr(main, 'ROOT', tmp_path)
    return tmp_path


@pytest.fixture
def pretended(root, monkeypatch):
    """Let every long step succeed at once; returns the list of what pip was asked for."""
    asked = []

    def create(self):
        self.python.parent.mkdir(parents=True)
        self.python.symlink_to(sys.executable)
        self.write_note(state='building')

    monkeypatch.setattr(Environment, '_create', create)
    monkeypatch.setattr(Environment, 'pip_install', lambda self, arguments, what: asked.append(list(arguments)))
    monkeypatch.setattr(Environment, 'run_python', lambda self, code, *arguments: '2.13.0\n')
    monkeypatch.setattr(main, '_check_torch', lambda env, requirement: None)
    monkeypatch.setattr(checks, 'check_compiler', lambda: None)
    monkeypatch.setattr(checks, 'check_disk_everywhere', lambda env: None)
    return asked


def test_complete_run_then_nothing_to_do(pretended, root, capsys):
    assert main.main([]) == 0
    printed = capsys.readouterr().out
    assert 'setup: done' in printed and '.venv/bin/activate' in printed
    assert ['torch==2.13.0'] in pretended
    assert any('--editable' in arguments and '--no-deps' in arguments for arguments in pretended)
    count = len(pretended)
    assert main.main([]) == 0
    assert len(pretended) == count and capsys.readouterr().out == ''


def test_other_options_or_requirements_run_again(pretended, root):
    main.main([])
    count = len(pretended)
    (root / 'requirements' / 'tests.txt').write_text('numpy\npytest\n')
    main.main([])
    assert len(pretended) == 2 * count
    main.main(['--torch=torch==2.12.0 --pre'])
    assert ['torch==2.12.0', '--pre'] in pretended


def test_failure_half_way_is_never_taken_for_done(pretended, root, monkeypatch, capsys):
    def fail(self, arguments, what):
        if '--editable' in arguments:
            raise SetupError('the network failed')

    with monkeypatch.context() as patch:
        patch.setattr(Environment, 'pip_install', fail)
        assert main.main([]) == 1
    assert 'error: the network failed' in capsys.readouterr().err
    (root / '.venv' / 'half-made').touch()
    assert main.main([]) == 0
    assert not (root / '.venv' / 'half-made').exists()


def test_interruption_is_never_taken_for_done(pretended, root, monkeypatch):
    def interrupt(self, arguments, what):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Environment, 'pip_install', interrupt)
        assert main.main([]) == 130
    assert Environment(root / '.venv').read_note()['state'] == 'building'


def test_ended_set_up_takes_its_compilers_along(repo_root, tmp_path):
    script = f"""
import signal, sys
from pathlib import Path
sys.path.insert(0, {str(repo_root / 'scripts')!r})
from setup_env import main, mmcv_build

def build(*_):
    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'
    log = Path({str(tmp_path / 'log')!r})
    mmcv_build._run_with_progress([sys.executable, '-c', code], {{}}, log, 60)

main.ROOT, main._set_up = Path({str(tmp_path)!r}), build
main.keys = lambda args: ('', '')
sys.exit(main.main([]))
"""
    process = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not ((tmp_path / 'log').exists() and (tmp_path / 'log').read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    child = int((tmp_path / 'log').read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [(['--stack=mmlab'], 'STACK=mmlab is unknown'), (['--wheels=no/such/folder'], 'no such folder')],
)
def test_bad_options(root, capsys, arguments, words):
    assert main.main(arguments) == 1
    assert words in capsys.readouterr().err
    assert not (root / '.venv').exists()


def test_no_compiler_is_said_before_anything_is_made(root, monkeypatch, capsys):
    monkeypatch.setenv('PATH', str(root))
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.delenv('CXX', raising=False)
    assert main.main([]) == 1
    assert 'no C/C++ compiler' in capsys.readouterr().err
    assert not (root / '.venv').exists()


def test_no_compiler_is_needed_with_a_wheel(pretended, root, monkeypatch):
    (root / f'{mmcv_build.wheel_prefix("onedl-mmcv==2.3.6")}any.whl').touch()
    monkeypatch.setattr(checks, 'check_compiler', lambda: pytest.fail('nothing is to be compiled'))
    assert main.main([f'--wheels={root}']) == 0


def test_full_disk_is_said_before_anything_is_made(root, monkeypatch, capsys):
    monkeypatch.setattr(checks, 'check_compiler', lambda: None)
    monkeypatch.setattr(checks.shutil, 'disk_usage', lambda path: type('Usage', (), {'free': 10**8})())
    assert main.main([]) == 1
    assert 'no disk space' in capsys.readouterr().err
    assert not (root / '.venv').exists()


def test_cuda_torch_needs_more_disk(root, monkeypatch):
    report = '{"install": [{"metadata": {"name": "torch"}}, {"metadata": {"name": "nvidia-cublas"}}]}'
    answer = subprocess.CompletedProcess([], 0, stdout=report, stderr='')
    monkeypatch.setattr(main.subprocess, 'run', lambda *_, **__: answer)
    monkeypatch.setattr(checks.shutil, 'disk_usage', lambda path: type('Usage', (), {'free': 6 * checks.GIB})())
    with pytest.raises(SetupError, match='no disk space'):
        main._check_torch(Environment(root / '.venv'), 'torch')


def test_torch_that_does_not_exist(root, monkeypatch):
    answer = subprocess.CompletedProcess([], 1, stdout='', stderr='ERROR: No matching distribution found for torch==99')
    monkeypatch.setattr(main.subprocess, 'run', lambda *_, **__: answer)
    with pytest.raises(SetupError, match='torch==99.*\n.*No matching distribution'):
        main._check_torch(Environment(root / '.venv'), 'torch==99')


def test_mmcv_without_its_operators_is_named(tmp_path):
    for module in ('cv2', 'torch', 'mmcv'):
        (tmp_path / module).mkdir()
        (tmp_path / module / '__init__.py').touch()
    done = subprocess.run([sys.executable, '-c', main._TRY], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'mmcv lacks its compiled operators (import mmcv._ext' in done.stderr


def test_opencv_without_system_libraries_gives_way_to_the_headless_build(root, monkeypatch):
    def run_python(self, code):
        if 'cv2' in code:
            raise SetupError('ImportError: libGL.so.1: cannot open shared object file')
        return '4.12.0.88\n'

    asked = []
    monkeypatch.setattr(Environment, 'run_python', run_python)
    monkeypatch.setattr(Environment, 'pip_install', lambda self, arguments, what: asked.append(arguments[-1]))
    main._mend_opencv(Environment(root / '.venv'))
    assert asked == ['opencv-python-headless==4.12.0.88']


def test_second_run_is_quick(repo_root, tmp_path):
    folder = tmp_path / 'venv'
    args = main.parse_arguments([f'--venv={folder}'])
    env_key, key = main.keys(args)
    env = Environment(folder)
    env.python.parent.mkdir(parents=True)
    env.python.symlink_to(sys.executable)
    env.write_note(state='done', adopted='no', env_key=env_key, key=key)
    began = time.monotonic()
    command = [sys.executable, str(repo_root / 'scripts' / 'setup_env'), f'--venv={folder}']
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    assert time.monotonic() - began < 10  # 0.1 s on an idle machine; the promise is 30 s
