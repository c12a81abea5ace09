"""The commands of the page on ablations, with fewer scenes."""

from pathlib import Path

from .guides import blocks, run_shell

PAGE = 'docs/concepts/ablations.md'


def test_commands(repo_root, tmp_path):
    for name in ('tools', 'configs'):
        (tmp_path / name).symlink_to(repo_root / name)
    page = tmp_path / 'page.md'
    text = (repo_root / PAGE).read_text()
    page.write_text(text.replace('--train 800 --val 160', '--train 4 --val 2'))
    assert page.read_text() != text and len(blocks(page, 'shell')) == 1
    shown = run_shell(page, tmp_path, repo_root)
    assert shown.count('to be run') == 18 and 'randomness.seed=2' in shown
    assert Path(tmp_path, 'data/shapes_96px/annotations/vocab.txt').is_file()
