"""Ways to damage the tiny data set, and what must hold of whatever is left for training."""

import cv2
from PIL import Image

from . import tiny_coco as tiny

INSTANCES, CAPTIONS, STUFF, PANOPTIC = (f'{kind}_train2017' for kind in ('instances', 'captions', 'stuff', 'panoptic'))
JPG = f'train2017/{tiny.PLAIN:012d}.jpg'
PNG = f'stuffthingmaps/train2017/{tiny.PLAIN:012d}.png'
SIZE = tiny.SIZES[tiny.PLAIN]


def edit(name, change):
    def damage(root):
        content = tiny.read(root, name)
        change(content)
        tiny.write(root, name, content)

    return damage


def annotation(**changes):
    """Alter annotation 1, the first object of image 11."""
    return edit(INSTANCES, lambda c: c['annotations'][0].update(changes))


def crowd(**changes):
    """Alter the run lengths of annotation 5, the crowd of image 12."""
    return edit(INSTANCES, lambda c: c['annotations'][4]['segmentation'].update(changes))


def image(name=INSTANCES, **changes):
    return edit(name, lambda c: c['images'][0].update(changes))


def caption(**changes):
    return edit(CAPTIONS, lambda c: c['annotations'][0].update(changes))


def part(key, value, name=INSTANCES):
    return edit(name, lambda c: c.update({key: value}))


def cut(path, end=100):
    return lambda root: (root / path).write_bytes((root / path).read_bytes()[:-end])


def content(path, data):
    return lambda root: (root / path).write_bytes(data)


def pixels(path, array):
    return lambda root: cv2.imwrite(str(root / path), array)


def flip_bits(path):
    def damage(root):
        data = bytearray((root / path).read_bytes())
        data[len(data) // 2] ^= 0xFF
        (root / path).write_bytes(data)

    return damage


def other_captions(content):
    for record in content['images']:
        record['id'] += 1000
    for record in content['annotations']:
        record['image_id'] += 1000


def saved_as(path, **options):
    def damage(root):
        with Image.open(root / path) as image:
            image.convert(options.pop('mode', image.mode)).save(root / path, **options)

    return damage


def train_an_epoch(dataset, limit=None):
    """Every sample, or the first ones; what training needs of each is there and finite."""
    samples = [dataset[i] for i in range(limit or len(dataset))]
    for sample in samples:
        labels = sample['data_samples']
        assert tuple(sample['inputs'].shape) == (3, 64, 64)
        boxes = labels.gt_instances.bboxes
        assert boxes.isfinite().all() and (boxes[:, 2:] > boxes[:, :2]).all() and (boxes >= 0).all()
        assert (boxes <= 64).all()
        if 'gt_mask_targets' in labels:
            assert len(labels.gt_mask_targets) == len(boxes) and labels.gt_mask_targets.flatten(1).any(1).all()
        if 'cap' in labels.labelled_tasks:
            assert tuple(labels.caption_view.shape) == (3, 64, 64) and labels.gt_caption_ids.shape[1] <= 52
    return samples
