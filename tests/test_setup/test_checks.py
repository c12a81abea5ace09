import pytest
from setup_env import checks
from setup_env.checks import SetupError


def test_no_compiler_names_what_to_install(monkeypatch):
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.delenv('CXX', raising=False)
    with pytest.raises(SetupError, match=r'no C/C\+\+ compiler.*g\+\+.*WHEELS='):
        checks.check_compiler(which=lambda name: None)


def test_c_without_cpp_is_not_enough(monkeypatch):
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.delenv('CXX', raising=False)
    with pytest.raises(SetupError, match=r'c\+\+'):
        checks.check_compiler(which=lambda name: '/bin/true' if name in ('cc', 'gcc') else None)


def test_compiler_that_was_named_but_is_missing(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler -O2')
    monkeypatch.delenv('CC', raising=False)
    with pytest.raises(SetupError, match='CXX=no-such-compiler not found'):
        checks.check_compiler(which=lambda name: None if 'no-such' in name else '/bin/true')


def test_compiler_that_cannot_do_cpp17(monkeypatch, tmp_path):
    broken = tmp_path / 'c++'
    broken.write_text('#!/bin/sh\necho "unknown option -std=c++17" >&2\nexit 1\n')
    broken.chmod(0o755)
    monkeypatch.setenv('CXX', str(broken))
    with pytest.raises(SetupError, match='unknown option'):
        checks.check_compiler(which=lambda name: name)


def test_disk_space(tmp_path):
    folder = tmp_path / 'not' / 'yet'
    checks.check_disk(folder, 4, free=lambda path: 5 * checks.GIB)
    with pytest.raises(SetupError, match=r'no disk space.*1\.0 GiB free.*about 4 GiB.*VENV='):
        checks.check_disk(folder, 4, free=lambda path: checks.GIB)
    assert not folder.exists()
