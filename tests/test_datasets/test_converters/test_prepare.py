"""COCO made ready from zip files, folders or a mixture: complete, resumable, nothing half-written."""

import errno
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import namedtuple

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmyolor_mtl.datasets.converters import PrepareSettings, missing_downloads, prepare_coco, unpack
from mmyolor_mtl.models.text import WordTokenizer
from mmyolor_mtl.registry import DATASETS

from .. import tiny_coco
from . import coco_zips


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return coco_zips.build_source(tmp_path_factory.mktemp('source'))


@pytest.fixture(scope='module')
def zips(source, tmp_path_factory):
    return coco_zips.build_zips(source, tmp_path_factory.mktemp('zips'))


@pytest.fixture
def root(tmp_path):
    return tmp_path / 'coco'


def prepare(root, archives=None, **options):
    settings = PrepareSettings(root, archives, **{'partial': True, 'workers': 2, 'min_count': 1, **options})
    return {item.name: item for item in prepare_coco(settings)}


def content(root):
    """All files below a folder with their bytes, notes of the tool aside."""
    files = [path for path in root.rglob('*') if path.is_file() and not path.name.startswith('.prepare_coco')]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_everything_is_unpacked_and_the_coco_config_reads_it(source, zips, root, repo_root, monkeypatch):
    items = prepare(root, zips)
    assert all(item.ok for item in items.values()), items
    wanted = content(source)
    assert wanted.items() <= content(root).items()
    assert not list(root.rglob('*.part'))
    cfg = Config.fromfile(repo_root / 'configs/_base_/datasets/coco_mtl.py')
    monkeypatch.chdir(root.parent)
    (root.parent / 'data').mkdir()
    (root.parent / 'data/coco').symlink_to(root)
    WordTokenizer(root / 'annotations/vocab.txt', vocab_size=30522)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        dataset = DATASETS.build({**loader.dataset, 'pipeline': [], 'check': 'decode'})
        assert len(dataset) == len(tiny_coco.SIZES)
        assert {'det', 'ins', 'sem', 'cap'} == set(dataset.get_data_info(0)['labelled_tasks'])


def test_a_second_run_touches_nothing(zips, root):
    prepare(root, zips)
    before = {path: path.stat().st_mtime_ns for path in root.rglob('*') if path.is_file()}
    prepare(root, zips)
    changed = [path.name for path, when in before.items() if path.stat().st_mtime_ns != when]
    assert set(changed) <= {'.prepare_coco.json', '.prepare_coco.lock'}


def test_maps_are_painted_where_the_pngs_are_missing(source, zips, root, tmp_path):
    some = tmp_path / 'some'
    shutil.copytree(zips, some)
    (some / 'stuffthingmaps_trainval2017.zip').unlink()
    # Its crowd would leave no trace in a painted map.
    kept = root / 'stuffthingmaps/train2017' / f'{tiny_coco.PARTS:012d}.png'
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b'somebody made this')
    prepare(root, some)
    assert kept.read_bytes() == b'somebody made this'
    for split in coco_zips.SPLITS:
        names = {path.name for path in (source / 'stuffthingmaps' / split).iterdir()}
        assert {path.name for path in (root / 'stuffthingmaps' / split).iterdir()} == names
        for name in names - {kept.name}:
            painted, published = (
                cv2.imread(str(folder / 'stuffthingmaps' / split / name), cv2.IMREAD_UNCHANGED)
                for folder in (root, source)
            )
            np.testing.assert_array_equal(painted, published)


def test_published_counts_are_demanded_unless_partial(zips, root):
    items = prepare(root, zips, partial=False)
    bad = {name for name, item in items.items() if not item.ok}
    assert {'annotations/instances_train2017.json', 'val2017/', 'stuffthingmaps/train2017/'} <= bad
    assert '7 files (COCO has 118,287)' in items['train2017/'].note
    assert '(COCO has 860,001)' in items['annotations/instances_train2017.json'].note


def test_without_anything_it_says_what_to_get(root):
    settings = PrepareSettings(root)
    items = prepare_coco(settings)
    assert not any(item.ok for item in items)
    urls = [' or '.join(group) for group in missing_downloads(items, settings)]
    assert 'http://images.cocodataset.org/zips/train2017.zip' in urls
    assert len(urls) == len(set(urls)) == 5
    (maps,) = (group for group in urls if ' or ' in group)
    assert 'stuffthingmaps_trainval2017.zip' in maps and 'stuff_annotations_trainval2017.zip' in maps


def test_folders_in_other_places_are_linked(source, root):
    shutil.copytree(source, root)
    (root / 'images').mkdir()
    for split in coco_zips.SPLITS:
        (root / split).rename(root / 'images' / split)
        (root / 'annotations' / f'panoptic_{split}').rename(root / f'panoptic_{split}')
    (root / 'train2017').mkdir()  # empty: hides nothing
    items = prepare(root)
    assert all(item.ok for item in items.values()), items
    assert os.readlink(root / 'train2017') == 'images/train2017'
    assert len(list((root / 'annotations/panoptic_val2017').iterdir())) == 5


def test_check_writes_nothing(zips, root):
    root.mkdir()
    items = prepare(root, zips, check=True)
    assert not list(root.iterdir())
    assert items['train2017.zip'].note == '7 of 7 files are not unpacked' and not items['train2017.zip'].ok
    prepare(root, zips)
    before = content(root)
    assert all(item.ok for item in prepare(root, zips, check=True).values())
    assert content(root) == before
    with pytest.raises(FileNotFoundError, match='does not exist'):
        prepare(root / 'nowhere', check=True)


def test_files_that_somebody_damaged_are_replaced(source, zips, root):
    victim = root / 'train2017' / f'{tiny_coco.PLAIN:012d}.jpg'
    victim.parent.mkdir(parents=True)
    good = (source / 'train2017' / victim.name).read_bytes()
    victim.write_bytes(good[:-9] + b'!' * 9)  # of the right size
    assert prepare(root, zips, check=True)['train2017.zip'].note == '7 of 7 files are not unpacked'
    prepare(root, zips)
    assert victim.read_bytes() == good


def broken_zip(path):
    """Change bytes inside the data of one member."""
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[3]
    data = bytearray(path.read_bytes())
    middle = info.header_offset + 60 + info.compress_size // 2
    data[middle : middle + 8] = bytes(255 - b for b in data[middle : middle + 8])
    path.write_bytes(data)
    return info.filename


def test_a_corrupt_member_is_named_and_nothing_broken_is_left(zips, root, tmp_path):
    shutil.copytree(zips, tmp_path / 'bad')
    name = broken_zip(tmp_path / 'bad/train2017.zip')
    with pytest.raises(ValueError, match=f'train2017.zip: {name} is damaged .* get it again from http://images.coco'):
        prepare(root, tmp_path / 'bad')
    assert not (root / name).exists() and not list(root.rglob('*.part'))
    # With a good archive the next run goes on.
    shutil.copy(zips / 'train2017.zip', tmp_path / 'bad')
    assert all(item.ok for item in prepare(root, tmp_path / 'bad').values())


def test_a_truncated_zip_and_a_wrong_one(zips, root, tmp_path):
    folder = tmp_path / 'bad'
    folder.mkdir()
    (folder / 'val2017.zip').write_bytes((zips / 'val2017.zip').read_bytes()[:-100])
    with pytest.raises(ValueError, match='val2017.zip is no complete zip file .* get it again'):
        prepare(root, folder)
    shutil.copy(zips / 'train2017.zip', folder / 'val2017.zip')
    with pytest.raises(ValueError, match='holds nothing that is needed'):
        prepare(root, folder)


@pytest.mark.parametrize('kind', ['md5', 'sha256'])
def test_checksums_of_the_archives(zips, root, tmp_path, kind, monkeypatch):
    lines = tmp_path / 'sums.txt'
    digest = hashlib.new(kind, (zips / 'val2017.zip').read_bytes()).hexdigest()
    lines.write_text(f'# of the zip files\n{digest}  somewhere/val2017.zip\n{"0" * len(digest)}  not_here.zip\n')
    prepare(root, zips, checksums=lines)
    # The second run trusts the note of the first.
    monkeypatch.setattr('mmyolor_mtl.datasets.converters.prepare.verify_checksum', None)
    prepare(root, zips, checksums=lines)
    monkeypatch.undo()
    lines.write_text(f'{"0" * len(digest)} *val2017.zip\n')
    with pytest.raises(ValueError, match=f'{kind} is {digest}, not 0000'):
        prepare(root, zips, checksums=lines)
    lines.write_text('val2017.zip 12\n')
    with pytest.raises(ValueError, match=r'sums.txt:1: .* is not'):
        prepare(root, zips, checksums=lines)


def test_too_little_room_is_seen_before_unpacking(zips, root, monkeypatch):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(unpack.shutil, 'disk_usage', lambda path: usage(10, 5, 100 << 20))
    with pytest.raises(OSError, match='unpacking needs .* GB .* are free') as caught:
        prepare(root, zips)
    assert caught.value.errno == errno.ENOSPC and not (root / 'train2017').exists()


def test_a_disk_that_fills_up_leaves_whole_files_only(source, zips, root, monkeypatch):
    copy = shutil.copyfileobj
    count = iter(range(1000))

    def fill(read, write, size):
        if next(count) == 4:
            write.write(b'half')
            raise OSError(errno.ENOSPC, 'No space left on device')
        copy(read, write, size)

    monkeypatch.setattr(unpack.shutil, 'copyfileobj', fill)
    with pytest.raises(OSError, match='is full; what is complete stays') as caught:
        prepare(root, zips, workers=1)
    assert caught.value.errno == errno.ENOSPC
    done, wanted = content(root), content(source)
    assert len(done) == 4 and done.items() <= wanted.items()
    monkeypatch.undo()
    assert all(item.ok for item in prepare(root, zips).values())


def test_a_killed_run_goes_on(source, root, tmp_path, repo_root):
    # Enough images to be in the middle of them: each member is a copy under another name.
    big = tmp_path / 'big'
    big.mkdir()
    image = (source / 'train2017' / f'{tiny_coco.PLAIN:012d}.jpg').read_bytes()
    with zipfile.ZipFile(big / 'train2017.zip', 'w') as archive:
        for number in range(6_000):
            archive.writestr(f'train2017/{number:012d}.jpg', image)
    command = [sys.executable, 'tools/dataset_converters/prepare_coco.py', str(root), '--archives', str(big)]
    process = subprocess.Popen([*command, '--workers', '1'], cwd=repo_root, stderr=subprocess.DEVNULL)
    folder = root / 'train2017'
    deadline = time.monotonic() + 60
    while (not folder.is_dir() or len(os.listdir(folder)) < 50) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = {path: path.stat().st_mtime_ns for path in folder.glob('*.jpg')}
    assert 50 <= len(first) < 6_000
    assert all(path.read_bytes() == image for path in first)
    prepare(root, big)
    assert len(list(folder.iterdir())) == 6_000  # and no draft is left over
    assert all(path.stat().st_mtime_ns == when for path, when in first.items())


def test_two_runs_at_a_time_are_refused(zips, root):
    root.mkdir()
    with open(root / '.prepare_coco.lock', 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(OSError, match='another run is working here'):
            prepare(root, zips)
    assert all(item.ok for item in prepare(root, zips).values())


def test_the_inner_archive_may_go_when_its_content_is_there(zips, root):
    prepare(root, zips)
    (root / 'annotations/panoptic_train2017.zip').unlink()
    prepare(root, zips)
    assert not (root / 'annotations/panoptic_train2017.zip').exists()


def test_karpathy_lists(source, root):
    shutil.copytree(source, root)
    coco_zips.karpathy(root / 'dataset_coco.json')
    # As in the real data set, an image is in one of the two folders.
    for name in ('captions', 'instances'):
        held = tiny_coco.read(root, f'{name}_val2017')
        held['images'], held['annotations'] = [], []
        tiny_coco.write(root, f'{name}_val2017', held)
    prepare(root)
    lines = {s: (root / f'annotations/karpathy_{s}.txt').read_text().split() for s in ('train', 'val', 'test')}
    assert lines['train'][:2] == ['train2017/000000000011.jpg', 'train2017/000000000012.jpg']
    assert lines['val'] == ['train2017/000000000013.jpg'] and lines['test'] == ['train2017/000000000014.jpg']
    (root / 'annotations/karpathy_val.txt').unlink()
    (root / 'dataset_coco.json').write_text('{"images": [{"id": 3}]}')
    with pytest.raises(ValueError, match='it needs images with cocoid'):
        prepare(root)


def test_faults_of_a_folder_are_named(source, root):
    shutil.copytree(source, root)
    (root / 'train2017' / f'{tiny_coco.PLAIN:012d}.jpg').unlink()
    (root / 'stuffthingmaps/val2017' / f'{tiny_coco.PLAIN:012d}.png').write_bytes(b'')
    captions = tiny_coco.read(root, 'captions_val2017')
    captions['annotations'][0]['image_id'] = 999
    tiny_coco.write(root, 'captions_val2017', captions)
    items = prepare(root, check=True)
    assert items['train2017/'].note == '1 of 7 files are missing (000000000011)'
    assert items['stuffthingmaps/val2017/'].note.startswith('1 files are empty (000000000011)')
    assert items['annotations/captions_val2017.json'].note == '1 annotations belong to no image of the file'
    assert not any(items[name].ok for name in ('train2017/', 'stuffthingmaps/val2017/'))


def test_mini_coco_is_accepted_as_a_part(shared_dir):
    items = prepare(shared_dir / 'mini_coco', check=True)
    assert [name for name, item in items.items() if not item.ok] == ['annotations/vocab.txt']
    assert items['train2017/'].note.startswith('204 files')
