import sys

import pytest
from setup_env import environment
from setup_env.checks import SetupError
from setup_env.environment import Environment


@pytest.fixture
def env(tmp_path, monkeypatch):
    """An environment whose making is only pretended: the folder, the interpreter and the note."""

    def create(self):
        self.python.parent.mkdir(parents=True)
        self.python.symlink_to(sys.executable)
        (self.path / 'pyvenv.cfg').touch()
        self.write_note(state='building')

    monkeypatch.setattr(Environment, '_create', create)
    return Environment(tmp_path / 'venv')


def test_fresh_environment_is_ours_and_not_done(env):
    assert env.prepare('key') == 'no'
    assert env.python.exists() and not env.is_done('key')


def test_done_needs_the_same_key_and_a_python(env):
    env.prepare('env')
    env.write_note(state='done', env_key='env', key='all')
    assert env.is_done('all') and not env.is_done('other')
    env.python.unlink()
    assert not env.is_done('all')


@pytest.mark.parametrize('note', [{'state': 'building', 'env_key': 'env'}, {'state': 'done', 'env_key': 'other'}])
def test_cut_off_or_other_options_start_afresh(env, note):
    env.prepare('env')
    (env.path / 'half-made').touch()
    env.write_note(**note)
    assert env.prepare('env') == 'no'
    assert not (env.path / 'half-made').exists()


def test_complete_environment_is_brought_up_to_date_in_place(env):
    env.prepare('env')
    env.write_note(state='done', env_key='env', key='old requirements')
    (env.path / 'package').touch()
    env.prepare('env')
    assert (env.path / 'package').exists()


def test_environment_of_others_is_never_removed(env):
    env._create()
    (env.path / environment.MARKER).unlink()
    (env.path / 'mine').touch()
    assert env.prepare('env') == 'yes'
    env.write_note(state='building', adopted='yes', env_key='env')
    assert env.prepare('env') == 'yes' and (env.path / 'mine').exists()
    with pytest.raises(SetupError, match='remove it or give VENV='):
        env.prepare('other options')
    assert (env.path / 'mine').exists()


def test_folder_that_is_no_environment_is_refused(env):
    env.path.mkdir()
    (env.path / 'thesis.tex').touch()
    with pytest.raises(SetupError, match='no virtual environment'):
        env.prepare('env')
    assert (env.path / 'thesis.tex').exists()


def test_unreadable_note_counts_as_none(env):
    env.prepare('env')
    (env.path / environment.MARKER).write_text('{')
    assert env.read_note() == {}


def test_pip_keeps_the_users_settings(env, monkeypatch):
    monkeypatch.setenv('PIP_PROXY', 'proxy.example:3128')
    assert env.variables()['PIP_PROXY'] == 'proxy.example:3128'
    command = ' '.join(env.pip_command('install', 'x'))
    assert 'index' not in command and 'proxy' not in command and '--isolated' not in command


def test_failed_python_gives_the_last_line(env):
    env.prepare('env')
    with pytest.raises(SetupError, match='^ValueError: seven$'):
        env.run_python('raise ValueError("seven")')


def test_digest_sees_options_and_contents(tmp_path):
    file = tmp_path / 'requirements.txt'
    file.write_text('numpy')
    first = environment.digest(['onedl'], [file])
    assert first == environment.digest(['onedl'], [file])
    assert first != environment.digest(['openmmlab'], [file])
    file.write_text('numpy>=2')
    assert first != environment.digest(['onedl'], [file])
