"""COCO 2017 in miniature as it is published: zip files, made from the tiny data set."""

import json
import zipfile
from pathlib import Path

from .. import tiny_coco

SPLITS = ('train2017', 'val2017')


def build_source(root: Path) -> Path:
    """Images, instances, captions, stuff, maps and panoptic labels of both splits, unpacked."""
    for split in SPLITS:
        tiny_coco.build(root, split)
    return root


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
