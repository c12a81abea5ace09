"""Files that appear whole or not at all, and what a killed process leaves."""

import pytest
import torch

from mmyolor_mtl.utils.files import draft_of, remove_drafts, save_whole


def test_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / 'a/b.txt'
    with draft_of(path) as draft:
        draft.write_text('first')
        assert not path.exists() and draft.parent == path.parent
    with pytest.raises(ZeroDivisionError), draft_of(path) as draft:
        draft.write_text('half of the sec')
        raise ZeroDivisionError
    assert path.read_text() == 'first' and [file.name for file in path.parent.iterdir()] == ['b.txt']


def test_save_whole(tmp_path):
    save_whole({'a': torch.ones(2)}, tmp_path / 'x.pth')
    with pytest.raises(AttributeError):
        save_whole({'a': lambda: 0}, tmp_path / 'x.pth')
    assert torch.equal(torch.load(tmp_path / 'x.pth')['a'], torch.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ['x.pth']


def test_drafts_are_told_from_other_files(tmp_path):
    for name in ('a.pth.12.tmp', 'b.json.12.tmp', 'c.pth', 'd.tmp', 'e.pth.x.tmp', 'f.pth.1.tmp'):
        (tmp_path / name).touch()
    assert sorted(path.name for path in remove_drafts(tmp_path, '*.pth')) == ['a.pth.12.tmp', 'f.pth.1.tmp']
    assert sorted(path.name for path in tmp_path.iterdir()) == ['b.json.12.tmp', 'c.pth', 'd.tmp', 'e.pth.x.tmp']
