"""``python -m mmyolor_mtl``."""

import sys

import pytest

from mmyolor_mtl import __main__ as entry


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools' / 'train.py').write_text('import sys; print("training", *sys.argv[1:])\n')
    for name in ('yolor_mtl/yolor-mtl_tiny.py', '_base_/base.py'):
        path = tmp_path / 'configs' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_checkout_is_found(repo_root):
    assert entry.content_root() == repo_root


def test_config_by_path_or_name(root, tmp_path):
    (tmp_path / 'own.py').touch()
    assert entry.find_config(root, str(tmp_path / 'own.py')) == str(tmp_path / 'own.py')
    for name in ('yolor-mtl_tiny', 'yolor-mtl_tiny.py'):
        assert entry.find_config(root, name).endswith('configs/yolor_mtl/yolor-mtl_tiny.py')


@pytest.mark.parametrize(
    ('name', 'hint'), [('yolor-mtl_tinny', 'did you mean one of: yolor-mtl_tiny$'), ('base', 'are in .*/configs$')]
)
def test_unknown_config_suggests_others(root, name, hint):
    with pytest.raises(FileNotFoundError, match=f'no config {name}; .*{hint}'):
        entry.find_config(root, name)


def test_command_runs_the_script(root, monkeypatch, capsys):
    monkeypatch.setattr(entry, 'content_root', lambda: root)
    monkeypatch.setattr(sys, 'argv', sys.argv)
    assert entry.main(['train', 'yolor-mtl_tiny', '--amp']) == 0
    assert capsys.readouterr().out == f'training {root}/configs/yolor_mtl/yolor-mtl_tiny.py --amp\n'


def test_errors_have_an_exit_status(root, monkeypatch, capsys):
    monkeypatch.setattr(entry, 'content_root', lambda: root)
    assert entry.main(['train', 'nothing-like-it']) == 2
    assert 'error: there is no config' in capsys.readouterr().err


@pytest.mark.parametrize(('arguments', 'status'), [([], 2), (['fly'], 2), (['-h'], 0)])
def test_usage(arguments, status, capsys):
    assert entry.main(arguments) == status
    out, err = capsys.readouterr()
    assert 'usage: python -m mmyolor_mtl' in (err if status else out)
