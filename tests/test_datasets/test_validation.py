import cv2
import numpy as np
import pytest
from PIL import Image

from mmyolor_mtl.datasets import COCO_METAINFO, COCOMultiTaskDataset, semantic_lut
from mmyolor_mtl.datasets.label_space import FOREIGN
from mmyolor_mtl.datasets.validation import (
    Problems,
    image_fault,
    is_truncated,
    read_semantic_map,
    semantic_map_fault,
)

from . import tiny_coco as tiny

INSTANCES, CAPTIONS = 'instances_train2017', 'captions_train2017'
JPG = f'train2017/{tiny.PLAIN:012d}.jpg'
PNG = f'stuffthingmaps/train2017/{tiny.PLAIN:012d}.png'


def edit(name, change):
    def damage(root):
        content = tiny.read(root, name)
        change(content)
        tiny.write(root, name, content)

    return damage


def cut(path):
    def damage(root):
        (root / path).write_bytes((root / path).read_bytes()[:-100])

    return damage


def other_captions(content):
    for record in content['images']:
        record['id'] += 1000
    for record in content['annotations']:
        record['image_id'] += 1000


def small_image(root):
    cv2.imwrite(str(root / JPG), np.zeros((10, 20, 3), np.uint8))


def small_map(root):
    cv2.imwrite(str(root / PNG), np.zeros((10, 20), np.uint8))


def foreign_map(root):
    values = np.zeros(tiny.SIZES[tiny.PLAIN], np.uint8)
    values[0, 0] = 11  # category id 12 does not exist
    cv2.imwrite(str(root / PNG), values)


def colour_map(root):
    cv2.imwrite(str(root / PNG), np.zeros((*tiny.SIZES[tiny.PLAIN], 3), np.uint8))


# What is broken -> what the error must say: file, id, fault.
CASES = {
    'missing image': (lambda root: (root / JPG).unlink(), [JPG, 'image 11', 'no such file']),
    'truncated JPEG': (cut(JPG), [JPG, 'image 11', 'the end of the file is missing']),
    'garbage': (lambda root: (root / JPG).write_bytes(b'hello'), [JPG, 'image 11', 'not a readable image']),
    'empty file': (lambda root: (root / JPG).write_bytes(b''), [JPG, 'image 11', 'not a readable image']),
    'size': (small_image, [JPG, 'image 11', '20 x 10 px', '96 x 80']),
    'category': (
        edit(INSTANCES, lambda c: c['annotations'][0].update(category_id=12)),
        [f'{INSTANCES}.json', 'annotation 1 of image 11', 'category id 12'],
    ),
    'unknown image': (
        edit(INSTANCES, lambda c: c['annotations'][0].update(image_id=999)),
        ['annotation 1 of image 999', 'lists no image'],
    ),
    'annotation id twice': (
        edit(INSTANCES, lambda c: c['annotations'][1].update(id=1)),
        ['annotation 1 of image 11', 'twice'],
    ),
    'image id twice': (
        edit(INSTANCES, lambda c: c['images'].append(dict(c['images'][0]))),
        ['image id 11 (000000000011.jpg)', 'twice'],
    ),
    'image without size': (edit(INSTANCES, lambda c: c['images'][0].pop('height')), ['image 11 has no height']),
    'no bbox': (edit(INSTANCES, lambda c: c['annotations'][0].pop('bbox')), ['annotation 1', 'has no bbox']),
    'nan bbox': (
        edit(INSTANCES, lambda c: c['annotations'][0].update(bbox=[0, 0, float('nan'), 1])),
        ['annotation 1', 'is not [x, y, width, height]'],
    ),
    'odd polygon': (
        edit(INSTANCES, lambda c: c['annotations'][0]['segmentation'][0].append(1.0)),
        ['annotation 1', '17 numbers, which is odd'],
    ),
    'two points': (
        edit(INSTANCES, lambda c: c['annotations'][0].update(segmentation=[[1, 1, 5, 5]])),
        ['annotation 1', 'no polygon has three points'],
    ),
    'flat polygon list': (
        edit(INSTANCES, lambda c: c['annotations'][0].update(segmentation=[1, 2, 3, 4, 5, 6])),
        ['annotation 1', 'not a list of polygons'],
    ),
    'RLE size': (
        edit(INSTANCES, lambda c: c['annotations'][3]['segmentation'].update(size=[5, 5])),
        ['annotation 4 of image 12', 'RLE mask is of size [5, 5]'],
    ),
    'captions of other images': (
        edit(CAPTIONS, other_captions),
        [f'{CAPTIONS}.json', 'other images', 'id 10', f'{INSTANCES}.json'],
    ),
    'captions of another edition': (
        edit(CAPTIONS, lambda c: c['images'][0].update(file_name='x.jpg')),
        [f'{CAPTIONS}.json', 'image 11', "'x.jpg'"],
    ),
    'caption of an unknown image': (
        edit(CAPTIONS, lambda c: c['annotations'][0].update(image_id=999)),
        [f'{CAPTIONS}.json', 'caption 1100 of image 999', 'no file lists'],
    ),
    'caption without text': (
        edit(CAPTIONS, lambda c: c['annotations'][0].pop('caption')),
        ['caption 1100 of image 11', 'no text'],
    ),
    'caption image that is nowhere': (
        edit(CAPTIONS, lambda c: c['images'].append({'id': 77, 'file_name': 'gone.jpg', 'height': 5, 'width': 5})),
        ['gone.jpg', 'image 77', 'no such file'],
    ),
    'semantic map size': (small_map, [PNG, 'image 11', '20 x 10 px', '96 x 80']),
    'colour map': (colour_map, [PNG, 'image 11', 'stored as RGB', 'one channel']),
    'truncated semantic map': (cut(PNG), [PNG, 'image 11', 'the end of the file is missing']),
}


@pytest.mark.parametrize('case', CASES)
def test_error_before_training_names_file_and_id(own_root, case):
    damage, parts = CASES[case]
    damage(own_root)
    with pytest.raises(ValueError, match='problem') as caught:
        COCOMultiTaskDataset(**tiny.config(own_root))
    message = str(caught.value)
    assert not [part for part in parts if part not in message], message
    assert "check='none'" in message
    # Whoever insists can start anyway, if the file can be understood at all.
    if case not in ('image without size', 'no bbox', 'caption without text', 'flat polygon list', 'nan bbox'):
        assert len(COCOMultiTaskDataset(**tiny.config(own_root, check='none'))) >= len(tiny.SIZES)


def test_decoding_finds_what_headers_do_not_tell(own_root):
    foreign_map(own_root)
    assert len(COCOMultiTaskDataset(**tiny.config(own_root))) == len(tiny.SIZES)
    with pytest.raises(ValueError, match=r'\[11\]'):
        COCOMultiTaskDataset(**tiny.config(own_root, check='decode'))


def test_sound_data_passes_at_every_level(tiny_root):
    for level in ('none', 'header', 'decode'):
        assert len(COCOMultiTaskDataset(**tiny.config(tiny_root, check=level))) == len(tiny.SIZES)


def test_many_problems_make_one_short_error():
    problems = Problems('data')
    for i in range(12):
        problems.add(f'problem of image {i}')
    with pytest.raises(ValueError, match='12 problem') as caught:
        problems.raise_if_any()
    message = str(caught.value)
    assert 'image 4' in message and 'image 5' not in message and 'and 7 more' in message
    Problems('data').raise_if_any()


def test_files_are_not_json(own_root):
    path = own_root / 'annotations' / f'{INSTANCES}.json'
    path.write_text('{')
    with pytest.raises(ValueError, match='not valid JSON'):
        COCOMultiTaskDataset(**tiny.config(own_root))
    path.write_text('[]')
    with pytest.raises(ValueError, match='COCO layout'):
        COCOMultiTaskDataset(**tiny.config(own_root))


def test_turned_photographs_are_measured_upright(tmp_path):
    path = tmp_path / 'turned.jpg'
    exif = Image.Exif()
    exif[0x0112] = 6  # quarter turn
    Image.new('RGB', (40, 30)).save(path, exif=exif)
    assert image_fault(str(path), (40, 30)) is None  # the loader turns it as well
    assert '30 x 40 px' in image_fault(str(path), (30, 40))


def test_bytes_after_the_end_marker_are_no_fault(tmp_path):
    path = tmp_path / 'padded.jpg'
    Image.new('RGB', (40, 30)).save(path)
    path.write_bytes(path.read_bytes() + b'\0' * 100)
    assert not is_truncated(str(path)) and image_fault(str(path), (30, 40), decode=True) is None
    path.write_bytes(b'other format')
    assert not is_truncated(str(path))


def test_palette_images_are_read_by_index(tmp_path):
    path = tmp_path / 'palette.png'
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(values, mode='P')
    image.putpalette(list(range(256)) * 3)
    image.save(path)
    assert (read_semantic_map(str(path)) == values).all()
    fault = semantic_map_fault(str(path), (3, 4), semantic_lut(COCO_METAINFO) != FOREIGN, decode=True)
    assert '[11]' in fault
