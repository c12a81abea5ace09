"""The guide to inference, as it stands, with a network of the demo's size."""

import json
import shutil
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmyolor_mtl.apis import VideoSource
from mmyolor_mtl.datasets import ShapesDataset
from mmyolor_mtl.datasets.shapes import write_shapes
from mmyolor_mtl.registry import MODELS

from .guides import blocks, run_python, run_shell

PAGE = 'docs/user_guides/inference.md'
CONFIG = 'configs/shapes/yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py'


@pytest.fixture
def folder(repo_root, tmp_path, monkeypatch):
    """What ``make demo`` leaves behind, in small, with a network that finds something everywhere; a photo, a video."""
    for name in ('demo', 'configs', 'mmyolor_mtl'):
        (tmp_path / name).symlink_to(repo_root / name)
    monkeypatch.chdir(tmp_path)
    write_shapes('data/shapes', train=4, val=2, size=192, seed=0)
    init_default_scope('mmdet')
    cfg = Config.fromfile(CONFIG)
    model = MODELS.build(cfg.model)
    for branch in model.heads['det'].main.cls_branches:
        torch.nn.init.zeros_(branch.predictor.bias)  # scores of one half
    meta = {
        'cfg': cfg.pretty_text,
        'dataset_meta': ShapesDataset.METAINFO,
        'tokenizer': model.heads['cap'].tokenizer.state(),
    }
    Path('work_dirs/demo').mkdir(parents=True)
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, 'work_dirs/demo/epoch_3.pth')
    photo = sorted(Path('data/shapes/train2017').iterdir())[0]
    shutil.copy(photo, 'street.jpg')
    writer = cv2.VideoWriter('street.mp4', cv2.VideoWriter.fourcc(*'mp4v'), 10, (192, 192))
    for _ in range(6):
        writer.write(cv2.imread(str(photo)))
    writer.release()
    return tmp_path


@pytest.mark.slow
def test_the_guide_runs_as_it_stands(repo_root, folder, capsys):
    page = repo_root / PAGE
    printed = run_shell(page, folder, repo_root)
    assert '[2/2]' in printed and '6 of 6 frames' in printed and '2 of 2 frames' in printed
    report = json.loads(Path('outputs/results.json').read_text())
    assert len(report['results']) == len(list(Path('outputs/pictures').iterdir())) == 2
    assert {'objects', 'semantic', 'panoptic', 'caption'} <= set(report['results'][0])
    words = json.loads(Path('outputs/words/results.json').read_text())
    assert [set(result) for result in words['results']] == [{'image', 'height', 'width', 'objects', 'caption'}]
    lines = [json.loads(line) for line in Path('outputs/street.jsonl').read_text().splitlines()]
    assert [line['frame'] for line in lines] == [*range(6)] and len(VideoSource('outputs/street_seen.mp4')) == 6
    assert len(VideoSource('outputs/fast.avi')) == 2 and VideoSource('outputs/fast.avi').fps == pytest.approx(
        10 / 3, 0.01
    )

    names = run_python(page)
    assert [result.error is None for result in names['mixed']] == [True, True, False, True, True, True]
    assert {path.name for path in Path('outputs').glob('street*')} >= {
        'street.json',
        'street_semantic.png',
        'street_panoptic.png',
        'street_again.png',
    }
    assert names['again'].to_dict() == names['result'].to_dict() and len(names['result'].boxes) > 0
    assert set(names['entries']) == {'bbox', 'segm', 'stuff', 'caption', 'panoptic'}
    assert len(names['results']) == 2 and names['results'][0].tasks == ('det', 'cap')


def test_the_json_of_the_guide_has_the_keys_that_are_written(repo_root, trained, scenes):
    from mmyolor_mtl.apis import MTLInferencer

    (example,) = blocks(repo_root / PAGE, 'json')
    shown = json.loads(example)
    result = MTLInferencer(weights=trained, device='cpu')(scenes / 'val2017', score_thr=0.0)[0].to_dict()
    assert set(shown) == set(result)
    for part in ('objects', 'semantic', 'panoptic'):
        assert set(shown[part][0]) == set(result[part][0]), part
    assert set(shown['caption']) == set(result['caption'])
