"""Pages with a command or two, one after the other in one folder: scenes, vocabularies, scores, pictures of samples."""

import json
import shutil

import pytest

from .guides import run_shell

CONFIG = 'configs/shapes/yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py'


@pytest.mark.slow
def test_the_commands_run(repo_root, tmp_path):
    for name in ('tools', 'configs'):
        (tmp_path / name).symlink_to(repo_root / name)

    def run(page, *changes):
        text = (repo_root / 'docs' / page).read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / 'page.md').write_text(text)
        return run_shell(tmp_path / 'page.md', tmp_path, repo_root)

    run('user_guides/shapes.md', ('--train 3500 --val 200', '--train 6 --val 2'))
    annotations = tmp_path / 'data/shapes/annotations'
    assert len(json.loads((annotations / 'instances_train2017.json').read_text())['images']) == 6

    shutil.copy(annotations / 'captions_train2017.json', tmp_path / 'captions.json')
    run('concepts/captioning.md')
    assert (tmp_path / 'vocab.txt').stat().st_size and json.loads((tmp_path / 'bpe.json').read_text())

    references = json.loads((annotations / 'captions_val2017.json').read_text())
    first = {one['image_id']: one['caption'] for one in references['annotations']}
    results = [{'image_id': image, 'caption': caption} for image, caption in first.items()]
    (tmp_path / 'RESULTS.json').write_text(json.dumps(results))
    (tmp_path / 'ANNOTATIONS.json').write_text(json.dumps(references))
    assert 'CIDEr' in run('user_guides/caption_metrics.md')

    run('user_guides/looking_at_data.md', ('browse_mtl.py CONFIG', f'browse_mtl.py {CONFIG}'), ('--num 8', '--num 2'))
    assert len(list((tmp_path / 'outputs/browse').rglob('*.jpg'))) == 2
