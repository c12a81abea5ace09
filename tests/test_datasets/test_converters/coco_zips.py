"""COCO 2017 in miniature as it is published: zip files, made from the tiny data set."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as mask_utils

from mmyolor_mtl.datasets import COCO_METAINFO

from .. import tiny_coco

SPLITS = ('train2017', 'val2017')


def stuff_annotations(root: Path, split: str) -> list[dict]:
    """The stuff of the maps as COCO's stuff JSON has it: one mask for each class, and 183 for the rest."""
    annotations = []
    for image_id, size in tiny_coco.SIZES.items():
        path = root / f'stuffthingmaps/{split}/{image_id:012d}.png'
        if not path.is_file():
            continue
        values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        rest = np.ones(size, bool)
        for value in np.unique(values):
            if int(value) + 1 in COCO_METAINFO['stuff_ids']:
                rest &= values != value
                annotations.append((image_id, int(value) + 1, values == value))
        annotations.append((image_id, 183, rest))
    return [
        {
            'id': number,
            'image_id': image_id,
            'category_id': category,
            'iscrowd': 0,
            'segmentation': tiny_coco.rle_of(mask, compressed=True),
            'bbox': mask_utils.toBbox(mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))).tolist(),
            'area': int(mask.sum()),
        }
        for number, (image_id, category, mask) in enumerate(annotations, start=1)
    ]


def build_source(root: Path) -> Path:
    """Images, instances, captions, stuff, maps and panoptic labels of both splits, unpacked."""
    for split in SPLITS:
        tiny_coco.build(root, split)
        images = tiny_coco.read(root, f'instances_{split}')['images']
        with_map = [i for i in images if (root / f'stuffthingmaps/{split}/{i["id"]:012d}.png').is_file()]
        categories = [
            {'id': i, 'name': n}
            for i, n in zip(COCO_METAINFO['stuff_ids'], COCO_METAINFO['stuff_classes'], strict=True)
        ]
        content = {'images': with_map, 'annotations': stuff_annotations(root, split), 'categories': categories}
        tiny_coco.write(root, f'stuff_{split}', content)
        _panoptic(root, split, with_map)
    return root


def _panoptic(root: Path, split: str, images: list[dict]) -> None:
    folder = root / f'annotations/panoptic_{split}'
    folder.mkdir(exist_ok=True)
    annotations = []
    for image in images:
        ids = np.full((image['height'], image['width'], 3), 0, np.uint8)
        ids[..., 2] = 7
        cv2.imwrite(str(folder / f'{image["id"]:012d}.png'), ids)
        segment = {'id': 7, 'category_id': 1, 'iscrowd': 0, 'area': ids.shape[0] * ids.shape[1], 'bbox': [0, 0, 1, 1]}
        annotations.append(
            {'image_id': image['id'], 'file_name': f'{image["id"]:012d}.png', 'segments_info': [segment]}
        )
    categories = [{'id': 1, 'name': 'person', 'isthing': 1}]
    tiny_coco.write(root, f'panoptic_{split}', {'images': images, 'annotations': annotations, 'categories': categories})


def pack(path: Path, files: dict[str, Path]) -> Path:
    """A zip file of some files by their names in it."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, file in files.items():
            archive.write(file, name)
    return path


def build_zips(source: Path, folder: Path) -> Path:
    """All archives of COCO 2017, with names and inner layout of the published ones."""
    folder.mkdir(parents=True, exist_ok=True)
    annotations = source / 'annotations'
    for split in SPLITS:
        pack(folder / f'{split}.zip', {f'{split}/{p.name}': p for p in sorted((source / split).iterdir())})
        inner = {f'panoptic_{split}/{p.name}': p for p in sorted((annotations / f'panoptic_{split}').iterdir())}
        inner |= {f'__MACOSX/panoptic_{split}/._{p.name}': p for p in (annotations / f'panoptic_{split}').iterdir()}
        pack(folder / f'inner_panoptic_{split}.zip', inner)

    def jsons(*kinds: str) -> dict[str, Path]:
        return {f'annotations/{k}_{s}.json': annotations / f'{k}_{s}.json' for k in kinds for s in SPLITS}

    pack(folder / 'annotations_trainval2017.zip', jsons('instances', 'captions'))
    pack(folder / 'stuff_annotations_trainval2017.zip', jsons('stuff'))
    pack(
        folder / 'panoptic_annotations_trainval2017.zip',
        jsons('panoptic') | {f'annotations/panoptic_{s}.zip': folder / f'inner_panoptic_{s}.zip' for s in SPLITS},
    )
    pack(
        folder / 'stuffthingmaps_trainval2017.zip',
        {f'{s}/{p.name}': p for s in SPLITS for p in sorted((source / 'stuffthingmaps' / s).iterdir())},
    )
    for split in SPLITS:
        (folder / f'inner_panoptic_{split}.zip').unlink()
    return folder


def karpathy(path: Path) -> None:
    """A dataset_coco.json for the tiny images."""
    splits = ['train', 'restval', 'val', 'test', 'train', 'train', 'train']
    images = [
        {'cocoid': image_id, 'split': split, 'filepath': 'val2014', 'filename': f'COCO_val2014_{image_id:012d}.jpg'}
        for image_id, split in zip(tiny_coco.SIZES, splits, strict=True)
    ]
    path.write_text(json.dumps({'dataset': 'coco', 'images': images}))
