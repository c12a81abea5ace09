"""A handful of images in COCO's layout, drawn at test time, with every kind of label and every kind of gap.

Semantic maps are painted from the very masks of the instances, which do not overlap: wherever a mask lies, the map says
its class.
"""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycocotools.mask as mask_utils

from mmyolor_mtl.datasets import COCO_METAINFO

PERSON, DOG, CAR = 1, 18, 3  # category ids, COCO's
GRASS, SKY = 124, 157
OTHER = 183  # of stuff JSONs: all that is no stuff
UNLABELLED_ROWS = 4  # at the bottom of every semantic map
CAPTIONS = ['A man walks his dog.', 'Two dogs in the grass', 'A red car under a blue sky', 'Somebody outside', 'Grass!']

# Names of the images by what is special about them -> image id.
PLAIN, PARTS, EMPTY, NO_MAP, NO_CAPTION, CAPTION_ONLY, NO_MASK = (11, 12, 13, 14, 15, 16, 17)
SIZES = {11: (80, 96), 12: (96, 72), 13: (64, 64), 14: (50, 100), 15: (90, 90), 16: (70, 84), 17: (60, 90)}  # (h, w)


def contiguous(category_id: int) -> int:
    """Label of a category id."""
    return [*COCO_METAINFO['thing_ids'], *COCO_METAINFO['stuff_ids']].index(category_id)


def _polygon(box: tuple[float, float, float, float]) -> list[float]:
    """An octagon in a box."""
    x1, y1, x2, y2 = box
    a, b = (x2 - x1) / 4, (y2 - y1) / 4
    points = [
        (x1 + a, y1), (x2 - a, y1), (x2, y1 + b), (x2, y2 - b), (x2 - a, y2), (x1 + a, y2), (x1, y2 - b), (x1, y1 + b)
    ]  # fmt: skip
    return [float(v) for point in points for v in point]


def _mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    rles = mask_utils.frPyObjects(segmentation, *size) if isinstance(segmentation, list) else segmentation
    if isinstance(rles, dict) and isinstance(rles['counts'], list):
        rles = mask_utils.frPyObjects(rles, *size)
    return mask_utils.decode(mask_utils.merge(rles) if isinstance(rles, list) else rles)


def rle_of(mask: np.ndarray, compressed: bool) -> dict:
    """COCO's run lengths of a mask, compressed (str) or as a list."""
    if compressed:
        rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
        return {'size': list(mask.shape), 'counts': rle['counts'].decode()}
    flat = mask.astype(np.uint8).ravel(order='F')
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat, [2]])))
    return {'size': list(mask.shape), 'counts': np.diff(np.concatenate([[0], changes])).tolist()}


def _ring(size: tuple[int, int], box: tuple[int, int, int, int], hole: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    mask[hole[1] : hole[3], hole[0] : hole[2]] = 0
    return mask


def _objects(img_id: int) -> list[tuple[int, Any, int]]:
    """(category id, segmentation, iscrowd) of an image."""
    h, w = SIZES[img_id]
    if img_id == EMPTY:
        return []
    if img_id == PARTS:
        ring = rle_of(_ring((h, w), (6, 40, 40, 80), (16, 50, 30, 70)), compressed=False)
        crowd = rle_of(_ring((h, w), (46, 40, 70, 88), (50, 60, 60, 70)), compressed=True)
        return [(PERSON, [_polygon((4, 4, 24, 30)), _polygon((32, 8, 66, 34))], 0), (DOG, ring, 0), (PERSON, crowd, 1)]
    left, right = _polygon((3, 5, w * 0.45, h * 0.8)), _polygon((w * 0.55, h * 0.2, w - 2.5, h * 0.9))
    if img_id == NO_MASK:
        return [(PERSON, [left], 0), (CAR, None, 0)]
    return [(PERSON, [left], 0), (CAR if img_id == PLAIN else DOG, [right], 0)]


def _annotation(ann_id: int, img_id: int, category: int, segmentation: Any, crowd: int) -> dict:
    h, w = SIZES[img_id]
    box, area = [w * 0.55, h * 0.2, w * 0.4, h * 0.5], w * h * 0.2
    ann = {'id': ann_id, 'image_id': img_id, 'category_id': category, 'iscrowd': crowd, 'bbox': box, 'area': area}
    if isinstance(segmentation, list):
        points = np.concatenate(segmentation).reshape(-1, 2)
        low, high = points.min(0), points.max(0)
        ann['bbox'] = [float(v) for v in (*low, *(high - low))]
    elif segmentation is not None:
        ann['bbox'] = mask_utils.toBbox(mask_utils.encode(np.asfortranarray(_mask(segmentation, (h, w))))).tolist()
    if segmentation is not None:
        ann['segmentation'] = segmentation
        ann['area'] = float(_mask(segmentation, (h, w)).sum())
    return ann


def build(root: Path, split: str = 'train2017') -> Path:
    """Write images, ``stuffthingmaps``, and instances, captions, stuff and panoptic annotations below ``root``."""
    for folder in (split, f'stuffthingmaps/{split}', f'annotations/panoptic_{split}'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    images, annotations, captions = [], [], []
    for img_id, (h, w) in SIZES.items():
        image = {'id': img_id, 'file_name': f'{img_id:012d}.jpg', 'height': h, 'width': w}
        images.append(image)
        pixels = np.random.default_rng(img_id).integers(0, 90, (h, w, 3), dtype=np.uint8)
        pixels[: h // 2] += 60
        semantic = np.full((h, w), GRASS - 1, np.uint8)
        semantic[: h // 2] = SKY - 1
        semantic[h - UNLABELLED_ROWS :] = 255
        for category, segmentation, crowd in _objects(img_id):
            annotations.append(_annotation(len(annotations) + 1, img_id, category, segmentation, crowd))
            if segmentation is not None:
                inside = _mask(segmentation, (h, w)) > 0
                semantic[inside] = category - 1
                pixels[inside] += np.array([0, category * 5, 80], np.uint8)
        cv2.imwrite(str(root / split / image['file_name']), cv2.blur(pixels, (3, 3)))
        if img_id not in (NO_MAP, CAPTION_ONLY):
            cv2.imwrite(str(root / f'stuffthingmaps/{split}/{img_id:012d}.png'), semantic)
        if img_id != NO_CAPTION:
            captions += [{'id': 100 * img_id + i, 'image_id': img_id, 'caption': c} for i, c in enumerate(CAPTIONS)]
    categories = _categories('classes', 'thing_ids')
    boxed = [image for image in images if image['id'] != CAPTION_ONLY]
    annotations = [ann for ann in annotations if ann['image_id'] != CAPTION_ONLY]
    write(root, f'instances_{split}', {'images': boxed, 'annotations': annotations, 'categories': categories})
    captioned = [image for image in images if image['id'] != NO_CAPTION]
    write(root, f'captions_{split}', {'images': captioned, 'annotations': captions})
    _write_stuff_and_panoptic(root, split, [i for i in boxed if i['id'] != NO_MAP], annotations)
    return root


def _categories(names: str, ids: str, **more: Any) -> list[dict]:
    pairs = zip(COCO_METAINFO[ids], COCO_METAINFO[names], strict=True)
    return [{'id': category, 'name': name, **more} for category, name in pairs]


def _write_stuff_and_panoptic(root: Path, split: str, images: list[dict], annotations: list[dict]) -> None:
    """``stuff_*.json`` and ``panoptic_*.json`` of the images with a semantic map, as COCO-Stuff and COCO write them."""
    stuff, panoptic = [], []
    for image in images:
        name = image['file_name'].replace('.jpg', '.png')
        semantic = cv2.imread(str(root / 'stuffthingmaps' / split / name), cv2.IMREAD_UNCHANGED)
        segments = [(value + 1, semantic == value, 0) for value in (GRASS - 1, SKY - 1)]
        stuff += [(image['id'], category, mask) for category, mask, _ in segments]
        stuff.append((image['id'], OTHER, ~np.isin(semantic, (GRASS - 1, SKY - 1))))
        for ann in annotations:
            if ann['image_id'] == image['id'] and 'segmentation' in ann:
                mask = _mask(ann['segmentation'], semantic.shape) > 0
                segments.append((ann['category_id'], mask, ann['iscrowd']))
        ids, infos = np.zeros((*semantic.shape, 3), np.uint8), []
        for number, (category, mask, crowd) in enumerate(segments):
            colour = (number + 1, 2 * number, 7 * image['id'])  # R, G, B
            ids[mask] = colour[::-1]
            box = mask_utils.toBbox(mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))).tolist()
            segment_id = colour[0] + 256 * colour[1] + 65536 * colour[2]
            infos.append(
                {'id': segment_id, 'category_id': category, 'iscrowd': crowd, 'bbox': box, 'area': int(mask.sum())}
            )
        cv2.imwrite(str(root / f'annotations/panoptic_{split}' / name), ids)
        panoptic.append({'image_id': image['id'], 'file_name': name, 'segments_info': infos})
    records = [
        _annotation(i, img_id, category, rle_of(mask, compressed=True), 0)
        for i, (img_id, category, mask) in enumerate(stuff, 10**6)
    ]
    categories = [*_categories('stuff_classes', 'stuff_ids'), {'id': OTHER, 'name': 'other'}]
    write(root, f'stuff_{split}', {'images': images, 'annotations': records, 'categories': categories})
    categories = _categories('classes', 'thing_ids', isthing=1) + _categories('stuff_classes', 'stuff_ids', isthing=0)
    write(root, f'panoptic_{split}', {'images': images, 'annotations': panoptic, 'categories': categories})


def write(root: Path, name: str, content: dict) -> None:
    """Write an annotation file."""
    (root / 'annotations' / f'{name}.json').write_text(json.dumps(content))


def read(root: Path, name: str) -> dict:
    """Read an annotation file back."""
    return json.loads((root / 'annotations' / f'{name}.json').read_text())


def config(root: Path, split: str = 'train2017', **overrides: Any) -> dict:
    """Arguments of COCOMultiTaskDataset for the folder."""
    return {
        'data_root': str(root),
        'ann_file': f'annotations/instances_{split}.json',
        'caption_file': f'annotations/captions_{split}.json',
        'data_prefix': {'img': f'{split}/', 'seg': f'stuffthingmaps/{split}/'},
        'pipeline': [],
        **overrides,
    }


SCALE = (64, 64)
LOAD = [{'type': 'LoadImageFromFile'}, {'type': 'mmyolor_mtl.LoadMTLAnnotations'}]
STRONG = [
    {'type': 'mmyolor_mtl.MTLMosaic', 'img_scale': SCALE},
    {'type': 'mmyolor_mtl.MTLRandomAffine', 'img_scale': SCALE},
]


def train_pipeline(vocab_file: str | Path, mixup: float = 0.5) -> list[dict]:
    """The whole joint pipeline at 64 px."""
    tokenizer = {'type': 'mmyolor_mtl.WordTokenizer', 'vocab_file': str(vocab_file)}
    return [
        *LOAD,
        {'type': 'mmyolor_mtl.CaptionView', 'scale': SCALE},
        {'type': 'mmyolor_mtl.TokenizeCaption', 'tokenizer': tokenizer, 'max_length': 12},
        *STRONG,
        {'type': 'mmyolor_mtl.MTLMixUp', 'prob': mixup, 'pre_transform': [*LOAD, *STRONG]},
        {'type': 'mmyolor_mtl.HSVJitter'},
        {'type': 'mmyolor_mtl.MTLRandomFlip'},
        {'type': 'mmyolor_mtl.PackMTLInputs'},
    ]


TEST_PIPELINE = [
    LOAD[0],
    {'type': 'mmyolor_mtl.Letterbox', 'scale': SCALE},
    LOAD[1],
    {'type': 'mmyolor_mtl.PackMTLInputs'},
]
