"""A zip file's members: which are needed, which are missing or damaged, and that they appear whole."""

import zipfile

import pytest

from mmyolor_mtl.datasets.converters.coco_archives import ARCHIVES, INNER_ARCHIVES, Archive
from mmyolor_mtl.datasets.converters.unpack import Unpacking

MEMBERS = {'a/one.txt': b'1', 'a/two.txt': b'22', 'a/readme.md': b'no'}


@pytest.fixture
def unpacking(tmp_path):
    path = tmp_path / 'some.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in MEMBERS.items():
            archive.writestr(name, data)
    return Unpacking(path, r'^a/(\w+)\.txt$', r'texts/\1.text', tmp_path / 'root', 'http://x.org/some.zip')


def test_members_are_chosen_placed_and_checked(unpacking, tmp_path):
    one, two = (tmp_path / 'root/texts' / f'{name}.text' for name in ('one', 'two'))
    assert unpacking.missing() == [*unpacking.members] == [one, two]
    unpacking.unpack([one, two], workers=2)
    assert (one.read_bytes(), two.read_bytes()) == (b'1', b'22')
    assert [path.name for path in sorted(one.parent.iterdir())] == ['one.text', 'two.text']
    assert unpacking.missing() == [] == unpacking.damaged([one, two], workers=1)
    two.write_bytes(b'23')  # of the right size
    assert unpacking.missing() == [] and unpacking.damaged([one, two], workers=1) == [two]
    two.write_bytes(b'')
    assert unpacking.missing() == [two]


def test_an_archive_that_is_none_or_another(unpacking, tmp_path):
    assert unpacking.advice == 'delete it and get it again from http://x.org/some.zip'
    with pytest.raises(ValueError, match='some.zip holds nothing that is needed'):
        Unpacking(unpacking.path, r'\.jpg$', 'x', tmp_path)
    text = tmp_path / 'text.zip'
    text.write_text('not a zip file')
    with pytest.raises(ValueError, match='text.zip is no complete zip file .*delete it and get it again'):
        Unpacking(text, '.', 'x', tmp_path)


@pytest.mark.parametrize(
    ('archive', 'member', 'target'),
    [
        ('train2017.zip', 'train2017/000000000009.jpg', 'train2017/000000000009.jpg'),
        ('val2017.zip', 'images/val2017/1.jpg', 'val2017/1.jpg'),
        ('annotations_trainval2017.zip', 'annotations/captions_val2017.json', 'annotations/captions_val2017.json'),
        ('annotations_trainval2017.zip', 'annotations/person_keypoints_val2017.json', None),
        ('stuffthingmaps_trainval2017.zip', 'val2017/1.png', 'stuffthingmaps/val2017/1.png'),
        ('stuff_annotations_trainval2017.zip', 'annotations/stuff_val2017.json', 'annotations/stuff_val2017.json'),
        (
            'panoptic_annotations_trainval2017.zip',
            'annotations/panoptic_val2017.zip',
            'annotations/panoptic_val2017.zip',
        ),
        ('panoptic_val2017.zip', 'panoptic_val2017/1.png', 'annotations/panoptic_val2017/1.png'),
        ('panoptic_val2017.zip', '__MACOSX/panoptic_val2017/._1.png', None),
    ],
)
def test_members_of_cocos_archives(archive, member, target, tmp_path):
    found = next(one for one in (*ARCHIVES, *INNER_ARCHIVES) if one.name == archive)
    assert isinstance(found, Archive)
    with zipfile.ZipFile(tmp_path / archive, 'w') as file:
        file.writestr(member, b'x')
    if target is None:
        with pytest.raises(ValueError, match='holds nothing that is needed'):
            Unpacking(tmp_path / archive, found.pattern, found.target, tmp_path)
    else:
        unpacking = Unpacking(tmp_path / archive, found.pattern, found.target, tmp_path)
        assert [*unpacking.members] == [tmp_path / target]
