"""Unusual images and labels that are whole load right, and train."""

import cv2
import numpy as np
import pytest
from mmcv.transforms import Compose
from PIL import Image, ImageDraw

from mmyolor_mtl.datasets import COCOMultiTaskDataset

from . import tiny_coco as tiny
from .damage import CAPTIONS, INSTANCES, JPG, SIZE, annotation, caption, edit, train_an_epoch


def picture():
    """80 x 96 px with a red left object where annotation 1 is, so that every turn and mirroring shows."""
    image = Image.new('RGB', SIZE[::-1], (20, 60, 90))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 0, 95, 10], fill=(200, 200, 40))
    draw.polygon(tiny._polygon((3, 5, 96 * 0.45, 80 * 0.8)), fill=(220, 30, 30))
    return image


def save_grey16(path):
    grey = np.asarray(picture().convert('L')).astype(np.uint16) * 257
    Image.fromarray(grey).save(path, format='PNG')


def save_colour16(path):
    ok, data = cv2.imencode('.png', np.asarray(picture())[..., ::-1].astype(np.uint16) * 257)
    assert ok
    path.write_bytes(data.tobytes())


def save_animated(kind):
    frames = [picture(), Image.new('RGB', SIZE[::-1], 'white')]
    return lambda path: frames[0].save(path, format=kind, save_all=True, append_images=frames[1:], quality=95)


def save_as(kind, mode='RGB', **options):
    return lambda path: picture().convert(mode).save(path, format=kind, **options)


# How to store the picture so that viewers show it upright, by EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def save_turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return lambda path: picture().transpose(TURNS[orientation]).save(path, format='JPEG', exif=exif, quality=95)


FORMATS = {
    'grey JPEG': (save_as('JPEG', 'L', quality=95), 'L'),
    'grey PNG of 16 bit': (save_grey16, 'L'),
    'colour PNG of 16 bit': (save_colour16, 'RGB'),
    'PNG of 1 bit': (save_as('PNG', '1'), '1'),
    'PNG with alpha': (save_as('PNG', 'RGBA'), 'RGB'),
    'grey PNG with alpha': (save_as('PNG', 'LA'), 'L'),
    'palette PNG': (lambda path: picture().quantize(64).save(path, format='PNG'), 'RGB'),
    'CMYK JPEG': (save_as('JPEG', 'CMYK', quality=95), 'RGB'),
    'animated GIF named .jpg': (save_animated('GIF'), 'RGB'),
    'animated WebP named .jpg': (save_animated('WEBP'), 'RGB'),
    'BMP named .jpg': (save_as('BMP'), 'RGB'),
    'progressive JPEG': (save_as('JPEG', progressive=True, quality=95), 'RGB'),
    **{f'EXIF orientation {i}': (save_turned(i), 'RGB') for i in TURNS},
}


@pytest.mark.parametrize('case', FORMATS)
def test_unusual_images_load_right(own_root, coco_pipeline, case):
    save, seen_as = FORMATS[case]
    save(own_root / JPG)
    dataset = COCOMultiTaskDataset(**tiny.config(own_root, check='decode', pipeline=tiny.LOAD))
    loaded = dataset[0]
    expected = np.asarray(picture().convert(seen_as).convert('RGB'))[..., ::-1].astype(int)
    assert loaded['img_id'] == tiny.PLAIN
    assert loaded['img'].shape == (*SIZE, 3) and loaded['img'].dtype == np.uint8
    assert np.abs(loaded['img'] - expected).mean() < 5
    inside = loaded['gt_masks'].to_ndarray()[0] > 0  # labels lie where the object is
    assert np.abs(loaded['img'] - expected)[inside].mean() < 6
    dataset.pipeline = Compose(coco_pipeline)
    train_an_epoch(dataset, 2)
    assert dataset.num_broken == 0


@pytest.mark.parametrize('size', [(1, 1), (3, 20000), (20000, 3), (1, 5000)], ids=str)
def test_extreme_sizes_load_right(own_root, coco_pipeline, size):
    height, width = size
    name = f'{tiny.EMPTY:012d}'
    box = [0, 0, width, height]
    polygon = [0, 0, width, 0, width, height, 0, height]
    ann = {'id': 900, 'image_id': tiny.EMPTY, 'category_id': 1, 'iscrowd': 0, 'bbox': box, 'area': width * height}
    for file in (INSTANCES, CAPTIONS):
        content = tiny.read(own_root, file)
        record = next(image for image in content['images'] if image['id'] == tiny.EMPTY)
        record.update(height=height, width=width)
        if file == INSTANCES:
            content['annotations'].append({**ann, 'segmentation': [polygon]})
        tiny.write(own_root, file, content)
    colours = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    cv2.imwrite(str(own_root / f'train2017/{name}.jpg'), colours)
    cv2.imwrite(str(own_root / f'stuffthingmaps/train2017/{name}.png'), np.zeros(size, np.uint8))
    dataset = COCOMultiTaskDataset(**tiny.config(own_root, check='decode', pipeline=tiny.LOAD))
    loaded = dataset[2]
    assert loaded['img_id'] == tiny.EMPTY and loaded['img'].shape == (*size, 3)
    assert loaded['gt_seg_map'].shape == size and loaded['gt_bboxes'].tolist() == [[0, 0, width, height]]
    dataset.pipeline = Compose(coco_pipeline)
    for _ in range(2):
        train_an_epoch(dataset, 4)
    assert dataset.num_broken == 0


def star(size):
    """A pentagram: it crosses itself five times."""
    angles = np.arange(5) * 4 * np.pi / 5
    return (np.stack([np.cos(angles), np.sin(angles)], 1) * size + 40).ravel().tolist()


LOADS = {
    'huge image id': lambda root: (
        edit(
            INSTANCES,
            lambda c: (
                c['images'][0].update(id=2**80),
                [ann.update(image_id=2**80) for ann in c['annotations'] if ann['image_id'] == tiny.PLAIN],
            ),
        )(root),
        edit(
            CAPTIONS,
            lambda c: (
                c['images'].pop(0),
                [ann.update(image_id=2**80) for ann in c['annotations'] if ann['image_id'] == tiny.PLAIN],
            ),
        )(root),
    ),
    'self-intersecting polygon': annotation(segmentation=[star(30)], bbox=[15, 11, 55, 58]),
    'polygon beyond the border': annotation(segmentation=[[-40, 10, 50, 10, 50, 60, -40, 60]], bbox=[0, 10, 50, 50]),
    'caption of 10,000 words': caption(caption='dog ' * 10000),
    'caption of emoji': caption(caption='\U0001f415\u200d\U0001f9ba \U0001f697\ufe0f'),
    'caption of one sign': caption(caption='.'),
}


@pytest.mark.parametrize('case', LOADS)
def test_unusual_labels_load_right(own_root, coco_pipeline, case):
    LOADS[case](own_root)
    dataset = COCOMultiTaskDataset(**tiny.config(own_root, check='decode', pipeline=coco_pipeline))
    info = dataset.get_data_info(0)
    assert info['labelled_tasks'] == ('det', 'ins', 'sem', 'cap')
    assert len(info['instances']) == 2 and len(info['captions']) == len(tiny.CAPTIONS)
    for _ in range(2):
        train_an_epoch(dataset, 4)
    assert dataset.num_broken == 0
