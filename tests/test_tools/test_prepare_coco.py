"""The command line that makes COCO ready."""

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.test_datasets.test_converters import coco_zips


@pytest.fixture
def tool(repo_root):
    path = repo_root / 'tools/dataset_converters/prepare_coco.py'
    spec = importlib.util.spec_from_file_location('tool_prepare_coco', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def zips(tmp_path):
    return coco_zips.build_zips(coco_zips.build_source(tmp_path / 'source'), tmp_path / 'zips')


def test_ready(tool, zips, tmp_path, capsys):
    root = tmp_path / 'coco'
    arguments = [str(root), '--archives', str(zips), '--partial', '--workers', '2']
    assert tool.main([*arguments, '--check']) == 2
    assert 'does not exist' in capsys.readouterr().err
    assert tool.main(arguments) == 0
    printed = capsys.readouterr()
    assert f'{root} is ready' in printed.out and 'LACK' not in printed.out and 'get ' not in printed.out
    assert 'ok    train2017/' in printed.out and '\r' not in printed.err
    assert tool.main([*arguments, '--check']) == 0


def test_not_complete_says_what_to_get(tool, zips, tmp_path, capsys):
    (zips / 'val2017.zip').unlink()
    assert tool.main([str(tmp_path / 'coco'), '--archives', str(zips), '--min-count', '1']) == 1
    printed = capsys.readouterr().out
    assert 'LACK  val2017/' in printed and 'is not complete' in printed
    assert 'get   http://images.cocodataset.org/zips/val2017.zip\n      into ' in printed
    assert 'zips/train2017.zip' not in printed


def test_damage_and_bad_arguments(tool, zips, tmp_path, capsys):
    (zips / 'val2017.zip').write_bytes(b'PK, but not much')
    assert tool.main([str(tmp_path / 'coco'), '--archives', str(zips)]) == 2
    assert 'prepare_coco: ' in (text := capsys.readouterr().err) and 'is no complete zip file' in text
    with pytest.raises(SystemExit):
        tool.main([str(tmp_path / 'coco'), '--workers', '0'])


def test_a_terminal_gets_a_bar(repo_root, zips, tmp_path):
    pty = pytest.importorskip('pty')
    leader, follower = pty.openpty()
    command = [
        sys.executable,
        'tools/dataset_converters/prepare_coco.py',
        str(tmp_path / 'coco'),
        '--archives',
        str(zips),
    ]
    subprocess.run(
        command, cwd=repo_root, stdout=subprocess.DEVNULL, stderr=follower, env={**os.environ, 'TERM': 'xterm'}
    )
    os.close(follower)
    text = b''
    try:
        while block := os.read(leader, 4096):
            text += block
    except OSError:  # the other end is closed
        pass
    os.close(leader)
    assert '[########################] train2017.zip: unpacking: 7/7' in text.decode()
