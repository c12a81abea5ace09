"""Every kind of damage has one outcome: an error before training, or a warning and what is left out.

What is unusual but whole is in test_unusual_data.py.
"""

import numpy as np
import pytest
from PIL import Image

from mmyolor_mtl.datasets import COCOMultiTaskDataset

from . import tiny_coco as tiny
from .damage import (
    CAPTIONS,
    INSTANCES,
    JPG,
    PANOPTIC,
    PNG,
    SIZE,
    STUFF,
    annotation,
    caption,
    content,
    crowd,
    cut,
    edit,
    flip_bits,
    image,
    other_captions,
    part,
    pixels,
    saved_as,
    train_an_epoch,
)
from .test_unusual_data import FORMATS, LOADS

NAN = float('nan')
FOREIGN_MAP = np.zeros(SIZE, np.uint8)
FOREIGN_MAP[0, 0] = 11  # category id 12 does not exist
TOO_FEW = 'no polygon has three points'

# ---- An error before training: what is broken -> what the message must say (file, id, fault).
ERRORS = {
    # image files
    'image missing': (lambda root: (root / JPG).unlink(), [JPG, 'image 11', 'no such file']),
    'image is a folder': (lambda root: ((root / JPG).unlink(), (root / JPG).mkdir()), [JPG, 'no such file']),
    'image empty': (content(JPG, b''), [JPG, 'image 11', 'not a readable image']),
    'image is text': (content(JPG, b'404: not found'), [JPG, 'image 11', 'not a readable image']),
    'image truncated': (cut(JPG), [JPG, 'image 11', 'the end of the file is missing']),
    'PNG truncated': (
        lambda root: (saved_as(JPG, format='PNG')(root), cut(JPG)(root)),
        [JPG, 'image 11', 'the end of the file is missing'],
    ),
    'WebP truncated': (
        lambda root: (saved_as(JPG, format='WEBP')(root), cut(JPG)(root)),
        [JPG, 'image 11', 'the end of the file is missing'],
    ),
    'image of another size': (pixels(JPG, np.zeros((10, 20, 3), np.uint8)), [JPG, '20 x 10 px', 'say 96 x 80']),
    'image turned without EXIF': (pixels(JPG, np.zeros((96, 80, 3), np.uint8)), [JPG, '80 x 96 px', 'say 96 x 80']),
    'image of a format nobody reads': (saved_as(JPG, format='ICO', sizes=[SIZE[::-1]]), [JPG, 'ICO', 'OpenCV']),
    # JSON
    'JSON missing': (lambda root: (root / f'annotations/{INSTANCES}.json').unlink(), [INSTANCES, 'does not exist']),
    'JSON empty': (content(f'annotations/{INSTANCES}.json', b''), [INSTANCES, 'not valid JSON']),
    'JSON truncated': (cut(f'annotations/{INSTANCES}.json'), [INSTANCES, 'not valid JSON']),
    'JSON is binary': (content(f'annotations/{CAPTIONS}.json', b'\xff\xd8\xff'), [CAPTIONS, 'not valid JSON']),
    'JSON is a list': (content(f'annotations/{INSTANCES}.json', b'[]'), [INSTANCES, 'not in COCO layout']),
    'images null': (part('images', None), [INSTANCES, '"images" is a NoneType']),
    'annotations null': (part('annotations', None), [INSTANCES, '"annotations" is a NoneType']),
    'categories null': (part('categories', None), [INSTANCES, '"categories" is a NoneType']),
    'annotations by id': (part('annotations', {'1': {}}), [INSTANCES, '"annotations" is a dict']),
    'an annotation null': (edit(INSTANCES, lambda c: c['annotations'].insert(1, None)), ['entry 1', 'NoneType']),
    'null values': (annotation(bbox=None, category_id=None), ['annotation 1', 'no category_id and no bbox']),
    'width null': (image(width=None), [INSTANCES, 'image 11 has no width']),
    'height as text': (image(height='80'), ['image 11', "height '80' is no whole number"]),
    'height zero': (image(height=0), ['image 11', 'height 0 is no whole number of pixels from 1 on']),
    'file_name empty': (image(file_name=''), ['image 11', "file_name '' is no file name"]),
    # ids
    'image id twice': (
        edit(INSTANCES, lambda c: c['images'].append({**c['images'][0], 'file_name': 'x.jpg'})),
        ['image id 11 (x.jpg) occurs twice'],
    ),
    'file name twice': (
        edit(INSTANCES, lambda c: c['images'].append({**c['images'][0], 'id': 99})),
        ['image 99', '000000000011.jpg occurs twice, also as image 11'],
    ),
    'image id a list': (image(id=[11]), ['its id is neither a whole number nor a text']),
    'annotation id twice': (annotation(id=2), ['annotation 2 of image 11', 'occurs twice']),
    'annotation of an unknown image': (annotation(image_id=999), ['annotation 1 of image 999', 'no image of this id']),
    'image id as text': (annotation(image_id='11'), ['annotation 1 of image 11', 'no image of this id']),
    'category unknown': (annotation(category_id=12), ['annotation 1 of image 11', 'category id 12']),
    'category huge': (annotation(category_id=10**30), ['annotation 1 of image 11', f'category id {10**30}']),
    'category as text': (annotation(category_id='1'), ['annotation 1 of image 11', "category id '1'"]),
    # geometry
    'box with NaN': (annotation(bbox=[0, 0, NAN, 1]), ['annotation 1 of image 11', 'is not [x, y, width, height]']),
    'box of three': (annotation(bbox=[0, 0, 1]), ['annotation 1', 'is not [x, y, width, height]']),
    'box of texts': (annotation(bbox=['0', '0', '1', '1']), ['annotation 1', 'is not [x, y, width, height]']),
    'box negative': (annotation(bbox=[5, 5, -3, 4]), ['annotation 1', 'negative width or height']),
    'box outside': (annotation(bbox=[200, 5, 10, 10]), ['annotation 1', 'lies outside the image of 96 x 80 px']),
    'polygon odd': (annotation(segmentation=[[1, 1, 5, 5, 9, 1, 2]]), ['annotation 1', '7 numbers, which is odd']),
    'polygon of two points': (annotation(segmentation=[[1, 1, 5, 5]]), ['annotation 1', TOO_FEW]),
    'polygon empty': (annotation(segmentation=[[]]), ['annotation 1', TOO_FEW]),
    'polygon with NaN': (annotation(segmentation=[[1, 1, NAN, 5, 9, 1]]), ['annotation 1', 'no finite number: nan']),
    'polygon with text': (annotation(segmentation=[[1, 1, '5', 5, 9, 1]]), ['annotation 1', "no finite number: '5'"]),
    'polygon far away': (annotation(segmentation=[[1, 1, 1e300, 5, 9, 1]]), ['annotation 1', 'reaches to 1e+300 px']),
    'polygon flat': (annotation(segmentation=[1, 1, 5, 5, 9, 1]), ['annotation 1', 'not a list of polygons']),
    'mask a text': (annotation(segmentation='none'), ['annotation 1', 'segmentation is a str']),
    'RLE of another size': (crowd(size=[5, 5]), ['annotation 5 of image 12', 'RLE mask is of size [5, 5]']),
    'RLE without size': (crowd(size=None), ['annotation 5 of image 12', 'no "size"']),
    'RLE of a wrong sum': (crowd(counts=[10, 5]), ['annotation 5 of image 12', 'sum up to 15 px instead of 96 x 72']),
    'RLE text cut': (
        edit(INSTANCES, lambda c: c['annotations'][4]['segmentation'].update(counts='0Q1')),
        ['annotation 5 of image 12', 'RLE mask', 'sum up to'],
    ),
    'RLE text broken': (crowd(counts='!!!'), ['annotation 5 of image 12', 'no valid run-length text']),
    'RLE negative': (crowd(counts=[-5, 6917]), ['annotation 5', 'no whole numbers']),
    # semantic maps
    'map of three channels': (pixels(PNG, np.zeros((*SIZE, 3), np.uint8)), [PNG, 'image 11', 'stored as RGB']),
    'map of 16 bit': (pixels(PNG, np.zeros(SIZE, np.uint16)), [PNG, 'image 11', 'stored as I;16']),
    'map of another size': (pixels(PNG, np.zeros((10, 20), np.uint8)), [PNG, '20 x 10 px', 'say 96 x 80']),
    'map truncated': (cut(PNG), [PNG, 'image 11', 'the end of the file is missing']),
    'map as JPEG': (saved_as(PNG, format='JPEG'), [PNG, 'image 11', 'JPEG', 'must be a PNG']),
    # captions
    'caption null': (caption(caption=None), [CAPTIONS, 'caption 1100 of image 11', 'no text']),
    'caption a number': (caption(caption=7), ['caption 1100 of image 11', 'has no text, but 7']),
    'caption of an unknown image': (caption(image_id=999), ['caption 1100 of image 999', 'no file lists an image']),
    'captions of other images': (edit(CAPTIONS, other_captions), [CAPTIONS, 'other images', 'id 10']),
    'captions of another edition': (image(CAPTIONS, file_name='x.jpg'), [CAPTIONS, 'image 11', "'x.jpg'"]),
    'captioned image nowhere': (
        edit(CAPTIONS, lambda c: c['images'].append({'id': 77, 'file_name': 'gone.jpg', 'height': 5, 'width': 5})),
        ['gone.jpg', 'image 77', 'no such file'],
    ),
}


@pytest.mark.parametrize('case', ERRORS)
def test_error_before_training_names_file_and_id(own_root, case):
    damage, parts = ERRORS[case]
    damage(own_root)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        COCOMultiTaskDataset(**tiny.config(own_root))
    message = str(caught.value)
    assert not [text for text in parts if text not in message], message


STUFF_ERRORS = {
    'stuff category': (
        edit(STUFF, lambda c: c['annotations'][0].update(category_id=1)),
        'category id 1 is not among the stuff_ids',
    ),
    'stuff RLE': (edit(STUFF, lambda c: c['annotations'][0]['segmentation'].update(counts='0')), 'sum up to 0 px'),
    'stuff of another edition': (image(STUFF, file_name='x.jpg'), "image 11 has file_name 'x.jpg'"),
}


@pytest.mark.parametrize('case', STUFF_ERRORS)
def test_error_in_a_stuff_file(own_root, case):
    damage, text = STUFF_ERRORS[case]
    damage(own_root)
    with pytest.raises(ValueError, match=text) as caught:
        COCOMultiTaskDataset(**tiny.config(own_root, stuff_file=f'annotations/{STUFF}.json'))
    assert f'{STUFF}.json' in str(caught.value)


PANOPTIC_PNG = f'annotations/panoptic_train2017/{tiny.PLAIN:012d}.png'
PANOPTIC_ERRORS = {
    'segment category': (
        edit(PANOPTIC, lambda c: c['annotations'][0]['segments_info'][0].update(category_id=250)),
        'header',
        'category id 250',
    ),
    'panoptic map missing': (lambda root: (root / PANOPTIC_PNG).unlink(), 'header', 'no such file'),
    'panoptic map grey': (pixels(PANOPTIC_PNG, np.zeros(SIZE, np.uint8)), 'header', 'stored as L'),
    'panoptic map size': (pixels(PANOPTIC_PNG, np.zeros((5, 5, 3), np.uint8)), 'header', '5 x 5 px'),
    'panoptic ids': (pixels(PANOPTIC_PNG, np.full((*SIZE, 3), 9, np.uint8)), 'decode', r'lacks: \[592137\]'),
    'panoptic area': (
        edit(PANOPTIC, lambda c: c['annotations'][0]['segments_info'][0].update(area=3)),
        'decode',
        'its area says 3',
    ),
}


@pytest.mark.parametrize('case', PANOPTIC_ERRORS)
def test_error_in_panoptic_files(own_root, case):
    damage, check, text = PANOPTIC_ERRORS[case]
    damage(own_root)
    files = {'ann_file': '', 'caption_file': '', 'panoptic_file': f'annotations/{PANOPTIC}.json', 'check': check}
    files['data_prefix'] = {'img': 'train2017/', 'panoptic': 'annotations/panoptic_train2017/'}
    with pytest.raises(ValueError, match=text) as caught:
        COCOMultiTaskDataset(**tiny.config(own_root, **files))
    assert 'image 11' in str(caught.value) and 'panoptic' in str(caught.value)


# ---- Only decoding shows it: an error with check='decode', else a warning and another image in training.
DECODED = {
    'map with foreign ids': (pixels(PNG, FOREIGN_MAP), [PNG, 'image 11', '[11]']),
    'map with flipped bits': (flip_bits(PNG), [PNG, 'image 11', 'not a readable']),
    'PNG with flipped bits': (
        lambda root: (saved_as(JPG, format='PNG')(root), flip_bits(JPG)(root)),
        [JPG, 'image 11', 'cannot be decoded'],
    ),
    'TIFF of 32 bit': (
        lambda root: Image.fromarray(np.zeros(SIZE, np.int32)).save(root / JPG, format='TIFF'),
        [JPG, 'image 11', 'cannot be decoded'],
    ),
}


@pytest.mark.parametrize('case', DECODED)
def test_what_only_decoding_shows(own_root, coco_pipeline, log, case):
    damage, parts = DECODED[case]
    damage(own_root)
    with pytest.raises(ValueError, match='1 problem') as caught:
        COCOMultiTaskDataset(**tiny.config(own_root, check='decode'))
    assert not [text for text in parts if text not in str(caught.value)], str(caught.value)
    dataset = COCOMultiTaskDataset(**tiny.config(own_root, pipeline=coco_pipeline))
    ids = [sample['data_samples'].img_id for sample in train_an_epoch(dataset)]
    assert tiny.PLAIN not in ids and dataset.num_broken == 1
    told = [message for message in log if 'image 11 is left out of training' in message]
    assert len(told) == 1 and not [text for text in parts if text not in told[0]], told


BROKEN_LATER = ['image missing', 'image empty', 'image is text', 'image truncated', 'image of another size']
BROKEN_LATER += ['map truncated', 'map of three channels', 'map of 16 bit', 'map of another size']


@pytest.mark.parametrize('case', BROKEN_LATER)
def test_files_that_break_during_training_are_left_out_with_a_warning(own_root, coco_pipeline, log, case):
    dataset = COCOMultiTaskDataset(**tiny.config(own_root, pipeline=coco_pipeline))
    len(dataset)
    damage, parts = ERRORS[case]
    damage(own_root)
    assert tiny.PLAIN not in [sample['data_samples'].img_id for sample in train_an_epoch(dataset)]
    told = [message for message in log if 'image 11 is left out of training' in message]
    assert len(told) == 1 and parts[0] in told[0] and dataset.num_broken == 1


# ---- A warning before training, and what is left: what is broken -> what the log says, objects left of image 11 or 12.
LINE = [[10.0, 10.0, 40.0, 40.0, 10.0, 10.0]]
WARNINGS = {
    'box without area': (annotation(bbox=[5, 5, 0, 9]), ['annotation 1 of image 11', 'no area', 'left out'], 1),
    'box beyond the border': (
        annotation(bbox=[60, 60, 90, 90], segmentation=[[60, 60, 150, 60, 150, 150, 60, 150]]),
        ['annotation 1 of image 11', 'exceeds the image', 'cut at its border'],
        2,
    ),
    'box as corners': (
        annotation(bbox=[50, 40, 90, 76], segmentation=[[50, 40, 90, 40, 90, 76, 50, 76]]),
        ['annotation 1 of image 11', 'is not that of its polygons, [50, 40, 40, 36]'],
        2,
    ),
    'mask without a pixel': (annotation(bbox=[10, 10, 30, 30], segmentation=LINE), ['cover the middle of no pixel'], 2),
    'RLE without a pixel': (crowd(counts=[96 * 72]), ['annotation 5 of image 12', 'has no pixel', 'left out'], 3),
    'one short polygon of several': (
        edit(INSTANCES, lambda c: c['annotations'][0]['segmentation'].append([1, 1, 5, 5])),
        ['annotation 1 of image 11', '1 of its polygons have less than three points'],
        2,
    ),
    'masks of some objects only': (
        edit(INSTANCES, lambda c: c['annotations'][0].pop('segmentation')),
        ['image 11 has masks for 1 of its 2 objects', "does not count as labelled for 'ins'"],
        2,
    ),
    'no area': (annotation(area=None), ['annotation 1 of image 11', 'no number as area, which'], 2),
    'caption empty': (caption(caption=''), ['caption 1100 of image 11 is empty'], 2),
    'caption of spaces': (caption(caption=' \t\n'), ['caption 1100 of image 11 is empty'], 2),
}


@pytest.mark.parametrize('case', WARNINGS)
def test_warning_before_training_and_the_rest_trains(own_root, coco_pipeline, log, case):
    damage, parts, left = WARNINGS[case]
    damage(own_root)
    dataset = COCOMultiTaskDataset(**tiny.config(own_root, check='decode', pipeline=coco_pipeline))
    (warning,) = [message for message in log if 'warning(s) about the data' in message]
    assert not [text for text in parts if text not in warning], warning
    info = dataset.get_data_info(1 if 'RLE' in case else 0)
    assert len(info['instances']) == left
    height, width = info['height'], info['width']
    boxes = np.array([one['bbox'] for one in info['instances']])
    assert (boxes >= 0).all() and (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
    if 'caption' in case:
        assert dataset.get_data_info(0)['captions'] == tiny.CAPTIONS[1:]
    train_an_epoch(dataset)
    assert dataset.num_broken == 0


def test_only_empty_captions_are_no_captions(own_root):
    edit(CAPTIONS, lambda c: [ann.update(caption=' ') for ann in c['annotations'] if ann['image_id'] == tiny.PLAIN])(
        own_root
    )
    info = COCOMultiTaskDataset(**tiny.config(own_root)).get_data_info(0)
    assert 'cap' not in info['labelled_tasks'] and info['captions'] == []


def test_there_are_many_kinds_of_damage():
    assert len({*ERRORS, *STUFF_ERRORS, *PANOPTIC_ERRORS, *DECODED, *WARNINGS, *FORMATS, *LOADS}) >= 100
