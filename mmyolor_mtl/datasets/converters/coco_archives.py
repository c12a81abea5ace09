"""COCO 2017 as it is published: archives, what they hold, and how much there should be."""

from pathlib import Path
from typing import NamedTuple

_COCO = 'http://images.cocodataset.org'


class Archive(NamedTuple):
    """A zip file of COCO.

    Attributes:
        name: File name.
        url: Where it can be had; '' for those that lie inside another one.
        pattern: Regular expression of the members that are needed.
        target: Where they go below the root, a template of the expression's groups.
    """

    name: str
    url: str
    pattern: str
    target: str


ARCHIVES = (
    Archive('train2017.zip', f'{_COCO}/zips/train2017.zip', r'(?:^|/)(train2017/[^/]+\.jpg)$', r'\1'),
    Archive('val2017.zip', f'{_COCO}/zips/val2017.zip', r'(?:^|/)(val2017/[^/]+\.jpg)$', r'\1'),
    Archive(
        'annotations_trainval2017.zip',
        f'{_COCO}/annotations/annotations_trainval2017.zip',
        r'^(?:annotations/)?((?:instances|captions)_(?:train|val)2017\.json)$',
        r'annotations/\1',
    ),
    Archive(
        'stuffthingmaps_trainval2017.zip',
        'http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_trainval2017.zip',
        r'(?:^|/)((?:train|val)2017/[^/]+\.png)$',
        r'stuffthingmaps/\1',
    ),
    Archive(
        'stuff_annotations_trainval2017.zip',
        f'{_COCO}/annotations/stuff_annotations_trainval2017.zip',
        r'^(?:annotations/)?(stuff_(?:train|val)2017\.json)$',
        r'annotations/\1',
    ),
    Archive(
        'panoptic_annotations_trainval2017.zip',
        f'{_COCO}/annotations/panoptic_annotations_trainval2017.zip',
        r'^(?:annotations/)?(panoptic_(?:train|val)2017\.(?:json|zip))$',
        r'annotations/\1',
    ),
    Archive(
        'caption_datasets.zip',
        'https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip',
        r'^(dataset_coco\.json)$',
        r'annotations/\1',
    ),
)
# They lie inside panoptic_annotations_trainval2017.zip.
INNER_ARCHIVES = tuple(
    Archive(f'panoptic_{split}.zip', '', rf'^(panoptic_{split}/[^/]+\.png)$', r'annotations/\1')
    for split in ('train2017', 'val2017')
)
URLS = {archive.name: archive.url for archive in ARCHIVES}

SPLITS = ('train2017', 'val2017')
NUM_IMAGES = {'train2017': 118_287, 'val2017': 5_000}
# Annotations by file. stuff_*.json are not listed: what counts is that they cover all images.
NUM_ANNOTATIONS = {
    'instances_train2017': 860_001,
    'instances_val2017': 36_781,
    'captions_train2017': 591_753,
    'captions_val2017': 25_014,
    'panoptic_train2017': 118_287,
    'panoptic_val2017': 5_000,
}
NUM_KARPATHY = {'train': 113_287, 'val': 5_000, 'test': 5_000}

# Other places where people keep these folders; a link from the usual place makes them readable.
ALIASES = {
    **{split: (f'images/{split}',) for split in SPLITS},
    **{
        f'stuffthingmaps/{split}': (f'annotations/stuffthingmaps/{split}', f'stuffthingmaps_trainval2017/{split}')
        for split in SPLITS
    },
    **{f'annotations/panoptic_{split}': (f'panoptic_{split}', f'panoptic/panoptic_{split}') for split in SPLITS},
}
_ARCHIVE_FOLDERS = ('.', 'zips', 'downloads', 'images', 'annotations')


def find_archive(name: str, *folders: Path) -> Path | None:
    """Path of a zip file in one of the folders or their usual sub-folders, None if there is none."""
    places = [folder / sub / name for folder in folders for sub in _ARCHIVE_FOLDERS]
    return next((path for path in places if path.is_file()), None)


def locate(root: Path, folder: str) -> Path:
    """Where a folder of the layout is: in its usual place; or, if nothing is there, where people keep it else."""
    usual = root / folder
    if usual.is_symlink() or has_entries(usual):
        return usual
    return next((root / name for name in ALIASES[folder] if has_entries(root / name)), usual)


def has_entries(folder: Path) -> bool:
    """Whether a folder exists and is not empty."""
    return folder.is_dir() and next(folder.iterdir(), None) is not None
