import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmyolor_mtl.models.text import WordTokenizer

from ..test_apis.fake_model import META, fake_config

SCRIPT = Path(__file__).resolve().parents[2] / 'demo' / 'image_demo.py'


@pytest.fixture
def setup(tmp_path):
    config, weights, images = tmp_path / 'config.py', tmp_path / 'weights.pth', tmp_path / 'images'
    Config(fake_config()).dump(str(config))
    meta = {'dataset_meta': META, 'tokenizer': WordTokenizer.build(['a box']).state()}
    torch.save({'state_dict': {'scale': torch.ones(1)}, 'meta': meta}, weights)
    images.mkdir()
    image = np.full((40, 60, 3), 50, np.uint8)
    image[5:20, 10:30] = 255
    cv2.imwrite(str(images / 'one.png'), image)
    cv2.imwrite(str(images / 'two.jpg'), image)
    return images, config, weights


def demo(monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', ['image_demo.py', *map(str, args)])
    with pytest.raises(SystemExit) as status:
        runpy.run_path(str(SCRIPT), run_name='__main__')
    return status.value.code


def test_one_picture_an_image_and_one_json(setup, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    assert demo(monkeypatch, *setup, '--out-dir', out, '--batch-size', 2) == 0
    assert sorted(file.name for file in (out / 'pictures').iterdir()) == ['one.png', 'two.png']
    assert sorted(file.name for file in out.iterdir()) == ['pictures', 'results.json']
    report = json.loads((out / 'results.json').read_text())
    assert report['classes'] == ['box', 'ball']
    first = report['results'][0]
    assert first['objects'][0]['bbox'] == [10, 5, 30, 20] and first['caption']['text'] == 'A box'
    assert {entry['class_name'] for entry in first['semantic']} == {'box', 'floor'} and first['panoptic']
    assert '[2/2] two.jpg: 1 object' in capsys.readouterr().out


def test_a_broken_image_is_reported_and_ends_with_status_1(setup, tmp_path, monkeypatch):
    (setup[0] / 'bad.jpg').write_bytes(b'no image')
    assert demo(monkeypatch, *setup, '--out-dir', tmp_path / 'out') == 1
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())['results']
    assert 'bad.jpg' in results[0]['error'] and len(results) == 3 and 'error' not in results[1]


def test_missing_things_are_named(setup, tmp_path, monkeypatch):
    images, config, weights = setup
    assert 'none.pth does not exist' in demo(monkeypatch, images, config, tmp_path / 'none.pth')
    assert 'none.py does not exist' in demo(monkeypatch, images, tmp_path / 'none.py', weights)
    assert 'nowhere does not exist' in demo(monkeypatch, tmp_path / 'nowhere', config, weights)
    (tmp_path / 'empty').mkdir()
    assert 'holds no image' in demo(monkeypatch, tmp_path / 'empty', config, weights)
    assert 'carries no config: give the config beside it' in demo(monkeypatch, images, weights)
    assert 'never ends: demo/video_demo.py' in demo(monkeypatch, 'rtsp://host/live', config, weights)
    assert demo(monkeypatch, images, config, weights, '--batch-size', 0) == 2
    assert demo(monkeypatch, images, config, weights, '--score-thr', 3) == 2
    assert demo(monkeypatch, images, config) == 2
    assert demo(monkeypatch, images, config, weights, '--tasks', 'ocr') == 2
    assert not (tmp_path / 'outputs').exists()


def test_a_pattern_without_pictures(setup, tmp_path, monkeypatch, capsys):
    images, config, weights = setup
    out = tmp_path / 'out'
    assert demo(monkeypatch, f'{images}/*.png', config, weights, '--no-pictures', '--out-dir', out) == 0
    assert [file.name for file in out.iterdir()] == ['results.json'] and 'pictures' not in capsys.readouterr().out
    assert len(json.loads((out / 'results.json').read_text())['results']) == 1


def test_a_checkpoint_alone_and_single_tasks(trained, scenes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ['--tasks', 'det', 'cap', '--score-thr', 0, '--half', '--device', 'cpu']
    assert (
        demo(monkeypatch, f'{scenes}/**/*.jpg', trained, *options, '--cfg-options', 'model.heads.cap.test_cfg=None')
        == 0
    )
    report = json.loads((tmp_path / 'outputs' / 'results.json').read_text())
    assert (report['config'], report['checkpoint'], len(report['results'])) == (None, str(trained), 16)
    assert {'objects', 'caption'} <= set(report['results'][0]) and 'semantic' not in report['results'][0]
    assert len(list((tmp_path / 'outputs' / 'pictures').iterdir())) == 16
