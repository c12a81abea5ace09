"""Names, ids and colours of COCO's 80 things and 91 stuff classes (REFERENCE_SPEC 2.3 and appendix C)."""

import colorsys

from mmdet.datasets.coco import CocoDataset

# fmt: off
COCO_THING_IDS: tuple[int, ...] = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 27, 28, 31, 32, 33, 34, 35,
    36, 37, 38, 39, 40, 41, 42, 43, 44, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65,
    67, 70, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 84, 85, 86, 87, 88, 89, 90,
)
COCO_STUFF_CLASSES: tuple[str, ...] = (
    'banner', 'blanket', 'branch', 'bridge', 'building-other', 'bush', 'cabinet', 'cage', 'cardboard', 'carpet',
    'ceiling-other', 'ceiling-tile', 'cloth', 'clothes', 'clouds', 'counter', 'cupboard', 'curtain', 'desk-stuff',
    'dirt', 'door-stuff', 'fence', 'floor-marble', 'floor-other', 'floor-stone', 'floor-tile', 'floor-wood', 'flower',
    'fog', 'food-other', 'fruit', 'furniture-other', 'grass', 'gravel', 'ground-other', 'hill', 'house', 'leaves',
    'light', 'mat', 'metal', 'mirror-stuff', 'moss', 'mountain', 'mud', 'napkin', 'net', 'paper', 'pavement', 'pillow',
    'plant-other', 'plastic', 'platform', 'playingfield', 'railing', 'railroad', 'river', 'road', 'rock', 'roof', 'rug',
    'salad', 'sand', 'sea', 'shelf', 'sky-other', 'skyscraper', 'snow', 'solid-other', 'stairs', 'stone', 'straw',
    'structural-other', 'table', 'tent', 'textile-other', 'towel', 'tree', 'vegetable', 'wall-brick', 'wall-concrete',
    'wall-other', 'wall-panel', 'wall-stone', 'wall-tile', 'wall-wood', 'water-other', 'waterdrops', 'window-blind',
    'window-other', 'wood',
)
# fmt: on
COCO_STUFF_IDS: tuple[int, ...] = tuple(range(92, 183))

# COCO panoptic keeps 36 stuff classes, merges others into 17 new ones, and drops the rest (0, void).
_PANOPTIC_MERGES: dict[int, tuple[int, ...]] = {
    184: (94, 97, 129, 169),  # tree
    185: (99, 113, 146),  # fence
    186: (102, 103),  # ceiling
    187: (106, 120, 157),  # sky
    188: (98, 108),  # cabinet
    189: (110, 165),  # table
    190: (114, 115, 117),  # floor
    191: (116, 140),  # pavement
    192: (127, 135),  # mountain
    193: (124, 134, 163),  # grass
    194: (111, 136),  # dirt
    195: (137, 139),  # paper
    196: (121, 153, 170),  # food
    197: (96, 158),  # building
    198: (150, 162),  # rock
    199: (172, 173, 174),  # wall
    200: (101, 131, 152),  # rug
}
_PANOPTIC_DROPPED = (104, 105, 123, 126, 132, 142, 143, 160, 164, 167, 179, 182)
_MERGED = {old: new for new, members in _PANOPTIC_MERGES.items() for old in members}

# COCO-Stuff category id -> COCO panoptic category id, 0 = void.
COCO_PANOPTIC_STUFF: dict[int, int] = {i: 0 if i in _PANOPTIC_DROPPED else _MERGED.get(i, i) for i in COCO_STUFF_IDS}


def stuff_colours(count: int) -> list[tuple[int, int, int]]:
    """RGB colours (0..255) that differ between neighbours: hues by the golden ratio, paler than the things' ones."""
    return [_rgb(i, 0.35 + 0.15 * (i % 3), 0.55 + 0.12 * (i % 4)) for i in range(count)]


def thing_colours(count: int) -> list[tuple[int, int, int]]:
    """RGB colours (0..255) for things without colours of their own: hues by the golden ratio, strong."""
    return [_rgb(i, 0.75 + 0.1 * (i % 3), 0.7 + 0.1 * (i % 4)) for i in range(count)]


def _rgb(number: int, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb((0.11 + number * 0.618034) % 1.0, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


COCO_METAINFO: dict = {
    'classes': tuple(CocoDataset.METAINFO['classes']),
    'palette': list(CocoDataset.METAINFO['palette']),
    'stuff_classes': COCO_STUFF_CLASSES,
    'stuff_palette': stuff_colours(len(COCO_STUFF_CLASSES)),
    'thing_ids': COCO_THING_IDS,
    'stuff_ids': COCO_STUFF_IDS,
    'extra_classes': ('other', 'unlabeled'),
    'panoptic_stuff': COCO_PANOPTIC_STUFF,
}
