import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmyolor_mtl.datasets.repair import repair_object
from mmyolor_mtl.datasets.validation.geometry import box_fault, mask_fault

from ..test_datasets import tiny_coco as tiny

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'dataset_converters' / 'check_data.py'
INSTANCES, CAPTIONS = 'instances_train2017', 'captions_train2017'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('check_data', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    return tiny.build(tmp_path / 'data')


def arguments(root, *options):
    folder = root / 'annotations'
    return [
        *('--images', str(root / 'train2017'), '--maps', str(root / 'stuffthingmaps/train2017')),
        *('--instances', str(folder / f'{INSTANCES}.json'), '--captions', str(folder / f'{CAPTIONS}.json')),
        *map(str, options),
    ]


def edit(root, name, change):
    content = tiny.read(root, name)
    change(content)
    tiny.write(root, name, content)


def annotation(content, ann_id):
    return next(ann for ann in content['annotations'] if ann['id'] == ann_id)


def test_sound_files(tool, root, capsys):
    assert tool.main(arguments(root)) == 0
    out = capsys.readouterr().out
    assert '7 images' in out and 'det+ins+sem+cap' in out and 'no errors' in out
    assert 'masks of some objects only: 1' in out


def test_report_file_holds_everything(tool, root, tmp_path, capsys):
    edit(root, INSTANCES, lambda c: [ann.update(category_id=12) for ann in c['annotations']])
    assert tool.main(arguments(root, '--report', tmp_path / 'report.json', '--show', 1)) == 1
    (report,) = json.loads((tmp_path / 'report.json').read_text())
    number = len(tiny.read(root, INSTANCES)['annotations'])
    assert len(report['errors']['unknown category']) == number
    out = capsys.readouterr().out
    assert f'unknown category: {number}' in out and f'... and {number - 1} more' in out
    assert tool.main(arguments(root, '--report', tmp_path / 'report.json')) == 2


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ([], 'give either a config, or files'),
        (['--config', 'nowhere.py'], 'no config nowhere.py'),
        (['--config', 'a.py', '--instances', 'b.json'], 'give either a config, or files'),
    ],
)
def test_wrong_usage(tool, options, message, capsys):
    assert tool.main(options) == 2
    assert message in capsys.readouterr().err


def test_files_that_cannot_be_read(tool, root, tmp_path, capsys):
    assert tool.main(['--instances', str(tmp_path / 'absent.json')]) == 1
    assert 'absent.json does not exist' in capsys.readouterr().out
    (root / 'annotations' / f'{INSTANCES}.json').write_bytes(b'\xff\xd8')
    assert tool.main(arguments(root, '--fix', tmp_path / 'fixed')) == 1
    assert 'nothing was repaired' in capsys.readouterr().out and not (tmp_path / 'fixed').exists()


def damage_everything(root):
    """What ``--fix`` can repair, all at once."""

    def instances(content):
        images, annotations = content['images'], content['annotations']
        images[0].update(height=999)
        images.append({'id': 500, 'file_name': 'gone.jpg', 'height': 10, 'width': 10})
        images.append({'id': 501, 'file_name': images[2]['file_name'], 'height': 64, 'width': 64})
        annotation(content, 1)['bbox'] = [float('nan')] * 4
        annotation(content, 2)['bbox'][2] += 500.0
        annotation(content, 3)['segmentation'][0].append(1.0)
        annotation(content, 3)['id'] = 2
        annotation(content, 4)['category_id'] = '18'
        annotation(content, 5)['segmentation']['counts'] += '1'
        annotation(content, 6).update(segmentation=[[1, 1, 5, 5]])
        annotation(content, 7).update(area=None)
        template = {'image_id': 501, 'category_id': 1, 'iscrowd': 0, 'area': 4.0}
        annotations.append({**template, 'id': 30, 'bbox': [1, 1, 9, 9]})
        annotations.append({**template, 'id': 31, 'bbox': [1, 1, 0, 9]})
        annotations.append({**template, 'id': 32, 'bbox': ['1', '1', '9', '8'], 'iscrowd': None})
        annotations.append({**template, 'id': 33, 'image_id': 999, 'bbox': [1, 1, 9, 9]})
        annotations.append({**template, 'id': 34, 'image_id': 500, 'bbox': [1, 1, 9, 9]})
        flat = {'bbox': [5, 5, 10, 10], 'segmentation': [[5, 5, 15, 15, 5, 5]]}
        annotations.append({**template, **flat, 'id': 35})

    def captions(content):
        content['images'][1].update(width=3)
        content['annotations'][0].update(caption=' ')
        content['annotations'][1].update(caption=None)
        content['annotations'][2].update(image_id=999)
        content['annotations'][4].update(id=content['annotations'][3]['id'])

    edit(root, INSTANCES, instances)
    edit(root, CAPTIONS, captions)


def test_fix_repairs_what_can_be_repaired(tool, root, tmp_path, capsys):
    damage_everything(root)
    before = {path: path.read_bytes() for path in root.rglob('*') if path.is_file()}
    fixed = tmp_path / 'fixed'
    report = tmp_path / 'report.json'
    assert tool.main(arguments(root, '--fix', fixed, '--report', report)) == 0, capsys.readouterr().out
    assert {path: path.read_bytes() for path in root.rglob('*') if path.is_file()} == before

    (content,) = json.loads(report.read_text())
    assert content['errors'] and not content['remaining']
    wanted = {
        *('image dropped', 'image joined', 'size corrected', 'orphan dropped', 'box corrected', 'mask corrected'),
        *('mask dropped', 'object dropped', 'id renewed', 'number corrected', 'area corrected', 'caption dropped'),
    }
    assert wanted <= content['changes'].keys(), wanted - content['changes'].keys()

    instances = json.loads((fixed / f'{INSTANCES}.json').read_text())
    assert [image['id'] for image in instances['images']] == [i for i in tiny.SIZES if i != tiny.CAPTION_ONLY]
    assert (instances['images'][0]['height'], instances['images'][0]['width']) == tiny.SIZES[tiny.PLAIN]
    first = annotation(instances, 1)
    points = np.array(first['segmentation'][0]).reshape(-1, 2)
    assert np.allclose(first['bbox'], [*points.min(0), *np.ptp(points, axis=0)])
    assert [ann['bbox'] for ann in instances['annotations'] if ann['image_id'] == tiny.EMPTY] == [
        [1, 1, 9, 9],
        [1, 1, 9, 8],
    ]
    texts = json.loads((fixed / f'{CAPTIONS}.json').read_text())['annotations']
    assert [ann['caption'] for ann in texts if ann['image_id'] == tiny.PLAIN] == tiny.CAPTIONS[3:]
    ids = [ann['id'] for ann in (*texts, *instances['annotations'])]
    assert len(set(ids)) == len(ids)

    paths = ['--instances', str(fixed / f'{INSTANCES}.json'), '--captions', str(fixed / f'{CAPTIONS}.json')]
    assert tool.main([*arguments(root)[:4], *paths]) == 0
    assert tool.main(arguments(root, '--fix', fixed)) == 2
    assert 'is not replaced' in capsys.readouterr().err


def test_what_cannot_be_repaired_is_said(tool, root, tmp_path, capsys):
    edit(root, INSTANCES, lambda c: c['annotations'][0].update(category_id=12))
    assert tool.main(arguments(root, '--fix', tmp_path / 'a')) == 1
    out = capsys.readouterr().out
    assert 'cannot be repaired' in out and 'category id 12' in out
    edit(root, INSTANCES, lambda c: c['annotations'][0].update(category_id=1))
    values = np.full(tiny.SIZES[tiny.PLAIN], 11, np.uint8)
    cv2.imwrite(str(root / f'stuffthingmaps/train2017/{tiny.PLAIN:012d}.png'), values)
    assert tool.main(arguments(root, '--fix', tmp_path / 'b', '--level', 'header')) == 0
    assert tool.main(arguments(root, '--fix', tmp_path / 'c')) == 1
    assert '[11]' in capsys.readouterr().out


def test_an_id_of_two_files_is_dropped_with_its_labels(tool, root, tmp_path):
    edit(root, INSTANCES, lambda c: c['images'][1].update(id=tiny.PLAIN))
    assert tool.main(arguments(root, '--fix', tmp_path / 'fixed')) == 0
    content = json.loads((tmp_path / 'fixed' / f'{INSTANCES}.json').read_text())
    kept = {image['id'] for image in content['images']}
    assert kept.isdisjoint({tiny.PLAIN, tiny.PARTS}) and {ann['image_id'] for ann in content['annotations']} <= kept


def test_data_sets_of_a_config(tool, root, tmp_path, capsys):
    cfg = tiny.config(root)
    cfg.update(type='mmyolor_mtl.COCOMultiTaskDataset', pipeline=[{'type': 'NoSuchTransform'}])
    (tmp_path / 'config.py').write_text(
        "default_scope = 'mmdet'\n"
        f"train_dataloader = dict(dataset=dict(type='RepeatDataset', times=2, dataset={cfg!r}))\n"
        f'val_dataloader = dict(dataset={cfg!r})\n'
    )
    assert tool.main(['--config', str(tmp_path / 'config.py')]) == 0
    assert capsys.readouterr().out.count('7 images') == 1  # both are the same data set
    (root / f'train2017/{tiny.PLAIN:012d}.jpg').unlink()
    assert tool.main(['--config', str(tmp_path / 'config.py'), '--fix', str(tmp_path / 'fixed')]) == 0
    assert (tmp_path / 'fixed' / f'{INSTANCES}.json').is_file()
    bare = {**cfg, 'caption_file': ''}
    with open(tmp_path / 'config.py', 'a') as file:
        file.write(f"test_dataloader = dict(dataset=dict(type='ConcatDataset', datasets=[{bare!r}]))\n")
    capsys.readouterr()
    assert tool.main(['--config', str(tmp_path / 'config.py')]) == 1
    assert capsys.readouterr().out.count('no such file') == 2
    assert tool.main(['--config', str(tmp_path / 'config.py'), '--fix', str(tmp_path / 'both')]) == 0
    assert {path.name for path in (tmp_path / 'both').iterdir()} == {f'0_{INSTANCES}', f'1_{INSTANCES}'}
    (tmp_path / 'config.py').write_text('x = 1\n')
    assert tool.main(['--config', str(tmp_path / 'config.py')]) == 2
    assert 'none of its data sets' in capsys.readouterr().err


def write_panoptic(root):
    """A panoptic map of one image: a square of a thing on grass."""
    h, w = tiny.SIZES[tiny.PLAIN]
    pixels = np.zeros((h, w, 3), np.uint8)
    pixels[:, :] = (0, 1, 0)  # BGR: id 256
    pixels[10:20, 10:30] = (0, 0, 7)
    (root / 'panoptic').mkdir()
    cv2.imwrite(str(root / 'panoptic/11.png'), pixels)
    segments = [
        {'id': 256, 'category_id': tiny.GRASS, 'area': h * w - 200, 'bbox': [0, 0, w, h], 'iscrowd': 0},
        {'id': 7, 'category_id': tiny.DOG, 'area': 200, 'bbox': [10, 10, 20, 10], 'iscrowd': 0},
    ]
    content = {
        'images': [{'id': tiny.PLAIN, 'file_name': f'{tiny.PLAIN:012d}.jpg', 'height': h, 'width': w}],
        'annotations': [{'image_id': tiny.PLAIN, 'file_name': '11.png', 'segments_info': segments}],
        'categories': [
            {'id': tiny.DOG, 'name': 'dog', 'isthing': 1},
            {'id': tiny.GRASS, 'name': 'grass', 'isthing': 0},
        ],
    }
    tiny.write(root, 'panoptic', content)
    return ['--panoptic', str(root / 'annotations/panoptic.json'), str(root / 'panoptic')]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s[1].update(area=7), 'segment 7 covers 200 px, its area says 7'),
        (lambda s: s.append({**s[1], 'id': 8}), 'lacks segments that segments_info lists: [8]'),
        (lambda s: s.append(dict(s[1])), 'segment id 7 occurs twice'),
        (lambda s: s[1].pop('bbox'), 'segment 7: bbox None'),
    ],
)
def test_panoptic_files_are_checked_and_repaired(tool, root, tmp_path, change, message, capsys):
    options = write_panoptic(root)
    images = ['--images', str(root / 'train2017')]
    assert tool.main([*images, *options]) == 0
    edit(root, 'panoptic', lambda c: change(c['annotations'][0]['segments_info']))
    assert tool.main([*images, *options]) == 1
    assert message in capsys.readouterr().out
    assert tool.main([*images, *options, '--fix', str(tmp_path / 'fixed')]) == 0
    (ann,) = json.loads((tmp_path / 'fixed/panoptic.json').read_text())['annotations']
    assert {one['id']: (one['area'], one['bbox']) for one in ann['segments_info']}[7] == (200, [10, 10, 20, 10])


def test_panoptic_map_with_ids_of_its_own_stays_an_error(tool, root, tmp_path, capsys):
    options = write_panoptic(root)
    edit(root, 'panoptic', lambda c: c['annotations'][0]['segments_info'].pop())
    assert tool.main([*options, '--fix', str(tmp_path / 'fixed')]) == 1
    assert 'holds segment ids that segments_info lacks: [7]' in capsys.readouterr().out


def stuff_file(root):
    size = tiny.SIZES[tiny.PLAIN]
    mask = np.zeros(size, np.uint8)
    mask[40:] = 1
    ann = {
        'id': 1, 'image_id': tiny.PLAIN, 'category_id': tiny.GRASS, 'iscrowd': 0, 'bbox': [0, 40, size[1], 40],
        'area': int(mask.sum()), 'segmentation': tiny.rle_of(mask, compressed=True),
    }  # fmt: skip
    image = tiny.read(root, INSTANCES)['images'][0]
    categories = [{'id': tiny.GRASS, 'name': 'grass'}, {'id': 183, 'name': 'other'}]
    tiny.write(root, 'stuff', {'images': [image], 'annotations': [ann], 'categories': categories})
    return ['--stuff', str(root / 'annotations/stuff.json')]


def test_stuff_files_are_checked_and_repaired(tool, root, tmp_path, capsys):
    options = [*arguments(root)[:2], *stuff_file(root)]
    assert tool.main(options) == 0
    edit(root, 'stuff', lambda c: c['annotations'][0]['segmentation'].update(size=[1, 1]))
    assert tool.main([*options, '--fix', str(tmp_path / 'fixed')]) == 0
    assert 'RLE mask is of size [1, 1]' in capsys.readouterr().out
    edit(root, 'stuff', lambda c: c['annotations'][0].update(category_id=7))
    assert tool.main(options) == 1
    assert 'category id 7 is not among the stuff_ids' in capsys.readouterr().out


NUMBER = st.one_of(st.integers(-60, 160), st.floats(-60, 160), st.sampled_from([float('nan'), 1e308, '12', None]))
MASK = st.one_of(
    st.none(),
    st.lists(st.lists(NUMBER, max_size=9), max_size=3),
    st.lists(NUMBER, min_size=6, max_size=8),
    st.fixed_dictionaries({'size': st.sampled_from([[50, 80], [5, 5]]), 'counts': st.lists(st.integers(0, 5000))}),
    st.just({'size': [50, 80], 'counts': [100, 400, 3500]}),
)


@settings(max_examples=300, deadline=None)
@given(box=st.lists(NUMBER, min_size=3, max_size=4), mask=MASK)
@example(box=[0, 0, 1e-200, 1e-200], mask=None)
def test_whatever_is_repaired_is_sound_and_repaired_for_good(box, mask):
    ann = {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': box, 'segmentation': mask}
    repaired, changes = repair_object(ann, (50, 80))
    if repaired is None:
        assert changes
        return
    assert box_fault(repaired['bbox'], (50, 80)) is None
    assert mask_fault(repaired.get('segmentation'), (50, 80)) is None
    assert repaired['area'] > 0
    assert repair_object(repaired, (50, 80)) == (repaired, [])
