"""What a wheel holds, and what the indexes for mim say."""

import zipfile
from pathlib import Path

import pytest
import yaml

from mmyolor_mtl import __version__

FAMILIES = sorted({path.parent.name for path in (Path(__file__).parents[2] / 'configs').glob('[!_]*/*.py')})


def test_wheel_holds_what_mim_looks_for(wheel_names, repo_root):
    inside = {name.removeprefix('mmyolor_mtl/.mim/') for name in wheel_names if name.startswith('mmyolor_mtl/.mim/')}
    assert {'model-index.yml', 'tools/train.py', 'tools/test.py', 'demo/image_demo.py'} <= inside
    configs = {str(path.relative_to(repo_root)) for path in (repo_root / 'configs').rglob('*.py')}
    assert {name for name in inside if name.startswith('configs/') and name.endswith('.py')} <= configs
    assert not [name for name in inside if '__pycache__' in name]


def test_wheel_holds_the_package_and_nothing_else(wheel_names):
    assert {name.split('/')[0] for name in wheel_names} == {'mmyolor_mtl', f'mmyolor_mtl-{__version__}.dist-info'}
    assert 'mmyolor_mtl/__main__.py' in wheel_names
    assert not [name for name in wheel_names if name.startswith('mmyolor_mtl/tools/')]  # mim test would prefer it


def test_one_top_level_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        top_level = next(name for name in archive.namelist() if name.endswith('top_level.txt'))
        assert archive.read(top_level).decode().split() == ['mmyolor_mtl']


def metafiles(repo_root):
    index = yaml.safe_load((repo_root / 'model-index.yml').read_text())
    return {name: yaml.safe_load((repo_root / name).read_text()) for name in index['Import']}


def test_every_metafile_is_imported(repo_root):
    written = {str(path.relative_to(repo_root)) for path in (repo_root / 'configs').rglob('metafile.yml')}
    assert set(metafiles(repo_root)) == written


def test_metafiles_speak_of_files_that_exist(repo_root):
    for content in metafiles(repo_root).values():
        collections = {collection['Name'] for collection in content['Collections']}
        for collection in content['Collections']:
            assert (repo_root / collection['README']).is_file()
        for model in content['Models']:
            assert (repo_root / model['Config']).is_file()
            assert model['Config'].endswith(f'/{model["Name"]}.py')
            assert model['In Collection'] in collections


@pytest.mark.parametrize('family', FAMILIES)
def test_every_config_of_a_family_is_listed(repo_root, family):
    content = metafiles(repo_root)[f'configs/{family}/metafile.yml']
    written = sorted(path.stem for path in (repo_root / 'configs' / family).glob('*.py'))
    assert sorted(model['Name'] for model in content['Models']) == written
