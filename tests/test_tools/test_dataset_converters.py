"""The command lines of the converters, and the user guide from LabelMe files to a trained model, as it stands."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

PAGE = 'docs/user_guides/custom_data.md'
CAPTIONS = {'car': 'A car on the road.', 'dog': 'A dog on the road under the sky.', 'person': 'Somebody on the road.'}
COLOURS = {'car': (40, 40, 200), 'dog': (30, 90, 140), 'person': (200, 60, 160)}


def load(repo_root, name):
    path = repo_root / 'tools/dataset_converters' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(f'tool_{name}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def photograph(folder: Path, number: int) -> None:
    """Draw a road under a sky with one thing on it, and write what LabelMe would."""
    rng = np.random.default_rng(number)
    thing = list(COLOURS)[number % 3]
    height, width = int(rng.integers(80, 120)), int(rng.integers(80, 120))
    horizon = int(rng.integers(height // 3, height // 2))
    image = np.full((height, width, 3), 110, np.uint8)
    image[:horizon] = (220, 170, 120)
    x, y, side = int(rng.integers(4, width - 44)), int(rng.integers(horizon, height - 36)), int(rng.integers(20, 34))
    points = [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]
    shapes = [('sky', [[0, 0], [width, horizon]], 'rectangle'), ('road', [[0, horizon], [width, height]], 'rectangle')]
    if thing == 'dog':
        cv2.circle(image, (x + side // 2, y + side // 2), side // 2, COLOURS[thing], -1)
        centre = [x + side / 2, y + side / 2]
        shapes.append((thing, [centre, [centre[0] + side / 2, centre[1]]], 'circle'))
    else:
        cv2.fillPoly(image, [np.array(points)], COLOURS[thing])
        shapes.append((thing, points, 'polygon'))
    cv2.imwrite(str(folder / f'{number:03d}.jpg'), image)
    content = {
        'version': '5.4.1',
        'flags': {},
        'shapes': [
            {'label': label, 'points': where, 'group_id': None, 'shape_type': kind, 'flags': {}}
            for label, where, kind in shapes
        ],
        'imagePath': f'{number:03d}.jpg',
        'imageData': None,
        'imageHeight': height,
        'imageWidth': width,
    }
    if number % 2:
        content['captions'] = [CAPTIONS[thing], 'A photo of a road.']
    else:
        (folder / f'{number:03d}.txt').write_text(CAPTIONS[thing])
    (folder / f'{number:03d}.json').write_text(json.dumps(content))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for number in range(15):
        photograph(folder, number)
    return folder


def shell_blocks(page: Path) -> list[str]:
    return re.findall(r'^```shell\n(.*?)^```$', page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_guide_leads_from_labelme_files_to_a_trained_model(repo_root, photos):
    root = photos.parent
    for name in ('tools', 'demo', 'mmyolor_mtl'):
        (root / name).symlink_to(repo_root / name)
    shutil.copytree(repo_root / 'configs', root / 'configs')
    blocks = shell_blocks(repo_root / PAGE)
    assert len(blocks) >= 6
    bin_folder = Path(sys.executable).parent
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith('CUSTOM_')},
        'PATH': f'{bin_folder}{os.pathsep}{os.environ["PATH"]}',
        'PYTHONPATH': str(repo_root),
    }
    done = subprocess.run(
        ['bash', '-euxo', 'pipefail', '-c', '\n'.join(blocks)],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    assert {path.name for path in (root / 'data/custom/annotations').iterdir()} == {
        *(f'{kind}{split}.json' for kind in ('instances', 'captions') for split in ('', '_train', '_val')),
        'vocab.txt',
    }
    (log,) = (root / 'work_dirs/my_data').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [line for line in lines if 'loss' in line]
    assert {'loss_det_cls', 'loss_ins_mask', 'loss_sem_pixel', 'loss_cap_ce'} <= losses[0].keys(), sorted(losses[0])
    assert losses[-1]['loss'] < losses[0]['loss']
    figures = json.loads((root / 'work_dirs/my_data/metrics.json').read_text())
    assert {'coco/bbox_mAP', 'coco/segm_mAP', 'sem/mIoU', 'pan/PQ'} <= figures.keys() and figures['cap/Bleu_1'] > 0
    results = json.loads((root / 'outputs/results.json').read_text())
    assert len(results['results']) == 15 and results['classes'] == ['car', 'dog', 'person']
    assert all(one['caption']['text'] is not None and one['semantic'] for one in results['results'])
    assert len(list((root / 'outputs/pictures').iterdir())) == 15
    assert len(list((root / 'outputs/samples').iterdir())) >= 4


def test_labelme_then_split_then_merge(repo_root, photos, capsys):
    out = photos.parent / 'out'
    arguments = [str(photos), '--out', str(out), '--things', 'car', 'dog', 'person', '--stuff', 'road', 'sky']
    tool = load(repo_root, 'labelme_to_coco')
    assert tool.main(arguments) == 0
    assert '15 images, 15 annotations, 22 captions, 15 maps' in capsys.readouterr().out
    assert tool.main(arguments) == 2
    assert 'labelme_to_coco: ' in (text := capsys.readouterr().err) and 'not an empty folder' in text

    split = load(repo_root, 'split_coco')
    files = [str(out / f'annotations/{kind}.json') for kind in ('instances', 'captions')]
    assert split.main([*files, '--ratios', 'train=0.8', 'val=0.2']) == 0
    assert 'train: 12 images, val: 3 images' in capsys.readouterr().out
    assert split.main([*files, '--ratios', 'train=much', 'val=0.2']) == 2
    assert "'much' is not a number" in capsys.readouterr().err
    for bad in ([], ['--ratios', 'train'], ['--ratios', 'a=1', '--rest', 'b']):
        with pytest.raises(SystemExit):
            split.main([*files, *bad])

    merge = load(repo_root, 'merge_coco')
    parts = [str(out / f'annotations/instances_{name}.json') for name in ('train', 'val')]
    sets = [item for part in parts for item in ('--set', f'instances={part}', f'classes={out / "classes.json"}')]
    assert merge.main(['--out', str(out / 'merged'), *sets]) == 0
    assert '15 images, 15 instances, 0 maps' in capsys.readouterr().out
    assert merge.main(['--out', str(out / 'again'), '--set', 'colour=red']) == 2
    assert 'a set consists of' in capsys.readouterr().err


def test_labelme_with_bad_labels(repo_root, photos, capsys):
    tool = load(repo_root, 'labelme_to_coco')
    arguments = [str(photos), '--out', str(photos.parent / 'out'), '--things', 'car', 'dog', '--stuff', 'road', 'sky']
    assert tool.main(arguments) == 2
    error = capsys.readouterr().err
    assert '5 problem(s)' in error and "002.json: shape 3: label 'person' is not among the classes" in error
    assert tool.main([*arguments, '--skip-bad']) == 0
    assert 'left out' in capsys.readouterr().err


def test_yolo_and_voc(repo_root, tmp_path, capsys):
    source = tmp_path / 'yolo'
    for folder in ('images', 'labels'):
        (source / folder).mkdir(parents=True)
    (source / 'classes.txt').write_text('cat\n')
    cv2.imwrite(str(source / 'images/a.png'), np.zeros((20, 30, 3), np.uint8))
    (source / 'labels/a.txt').write_text('0 0.5 0.5 0.5 0.5\n0 7\n')
    tool = load(repo_root, 'yolo_to_coco')
    assert tool.main([str(source), '--out', str(tmp_path / 'a')]) == 2
    assert 'a.txt:2: 1 numbers after the class' in capsys.readouterr().err
    assert tool.main([str(source), '--out', str(tmp_path / 'a'), '--skip-bad', '--images', 'none']) == 0
    assert '1 images, 1 annotations' in capsys.readouterr().out

    voc = tmp_path / 'voc'
    (voc / 'JPEGImages').mkdir(parents=True), (voc / 'Annotations').mkdir()
    shutil.copy(source / 'images/a.png', voc / 'JPEGImages')
    box = '<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>'
    (voc / 'Annotations/a.xml').write_text(
        f'<annotation><filename>a.png</filename><object><name>owl</name>{box}</object></annotation>'
    )
    (tmp_path / 'names.txt').write_text('ant\nowl\n')
    tool = load(repo_root, 'voc_to_coco')
    arguments = [str(voc), '--out', str(tmp_path / 'b'), '--classes', str(tmp_path / 'names.txt'), '--zero-based']
    assert tool.main(arguments) == 0
    content = json.loads((tmp_path / 'b/annotations/instances.json').read_text())
    assert content['annotations'][0]['category_id'] == 2 and content['annotations'][0]['bbox'] == [0, 0, 10, 10]
    assert tool.main([str(voc / 'JPEGImages'), '--out', str(tmp_path / 'c')]) == 2
    assert 'is no folder in Pascal VOC layout' in capsys.readouterr().err
