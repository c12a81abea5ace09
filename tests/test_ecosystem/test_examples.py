"""The projects in examples/ train by the commands on their pages, with the unmodified tools of MMDetection and
MMSegmentation."""

import json

import pytest
from mmengine.config import Config

from tests.test_docs.guides import run_shell

EXAMPLES = {
    'retinanet_on_elan': ({'loss_cls', 'loss_bbox'}, {'coco/bbox_mAP'}),
    'mmseg_on_gelan': ({'decode.loss_ce'}, {'sem/mIoU', 'mIoU'}),
    'captions_on_resnet': ({'loss_sem_pixel', 'loss_sem_dice', 'loss_cap_ce'}, {'sem/mIoU', 'cap/CIDEr'}),
}


@pytest.fixture(scope='module')
def folder(repo_root, tmp_path_factory):
    """A folder that looks like the checkout, with the scenes that the first page makes."""
    folder = tmp_path_factory.mktemp('examples')
    for name in ('examples', 'tools'):
        (folder / name).symlink_to(repo_root / name)
    run_shell(repo_root / 'examples/README.md', folder, repo_root)
    return folder


def test_every_folder_is_tested(repo_root):
    assert {path.name for path in (repo_root / 'examples').iterdir() if path.is_dir()} == set(EXAMPLES)
    page = (repo_root / 'examples/README.md').read_text()
    assert all(f'({name}/README.md)' in page for name in EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize('name', EXAMPLES)
def test_two_iterations(name, folder, repo_root):
    (config,) = (repo_root / 'examples' / name).glob('*.py')
    assert 'mmyolor_mtl.' in config.read_text()
    assert not Config.fromfile(config).get('custom_imports')
    before = set((folder / 'work_dirs').glob('*')) if (folder / 'work_dirs').is_dir() else set()
    run_shell(repo_root / f'examples/{name}/README.md', folder, repo_root)
    (work_dir,) = set((folder / 'work_dirs').glob('*')) - before
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in log.read_text().splitlines()]
    losses, figures = EXAMPLES[name]
    training = [record for record in records if 'loss' in record]
    assert [record['step'] for record in training] == [1, 2] and all(losses <= set(record) for record in training)
    assert figures <= set(records[-1])
    assert (work_dir / 'epoch_1.pth').is_file()
