"""Names of the Shapes data set: kinds of things, kinds of stuff, colours, and the metainfo built from them.

Category ids run from 1 in the order below, things first, then stuff; the panoptic ids are the same ones.
"""

from typing import NamedTuple


class Thing(NamedTuple):
    """A countable kind of object.

    Attributes:
        name: Category name and the word used in captions.
        plural: The word for more than one.
        supercategory: COCO supercategory.
        colour: RGB tuple (0..255) for drawing results.
        places: Where objects of the kind live: any of 'land', 'water', 'air'.
        tilt: Largest rotation to either side, degrees.
        colours: Names of the colours (of COLOURS) it comes in.
    """

    name: str
    plural: str
    supercategory: str
    colour: tuple[int, int, int]
    places: tuple[str, ...]
    tilt: float
    colours: tuple[str, ...]


class Stuff(NamedTuple):
    """An uncountable kind of region.

    Attributes:
        name: Category name.
        phrase: How a caption says it ('the grass', 'a cloudy sky').
        supercategory: 'ground', 'sky', 'wall' or 'landscape'; says where the region goes in a scene.
        colour: RGB tuple (0..255) for drawing results.
    """

    name: str
    phrase: str
    supercategory: str
    colour: tuple[int, int, int]


THINGS = (
    Thing('ball', 'balls', 'toy', (220, 20, 60), ('land', 'water'), 180, ('red', 'blue', 'orange')),
    Thing('box', 'boxes', 'toy', (119, 11, 32), ('land', 'water'), 180, ('yellow', 'purple', 'green')),
    Thing('star', 'stars', 'sign', (250, 170, 30), ('land', 'air'), 180, ('yellow', 'white', 'pink')),
    Thing('heart', 'hearts', 'sign', (255, 77, 160), ('land', 'air'), 35, ('red', 'pink', 'purple')),
    Thing('ring', 'rings', 'toy', (165, 42, 180), ('land', 'water'), 180, ('orange', 'white', 'blue')),
    Thing('house', 'houses', 'building', (174, 90, 60), ('land',), 8, ('red', 'white', 'yellow')),
    Thing('tree', 'trees', 'plant', (20, 130, 60), ('land',), 10, ('green', 'orange', 'pink')),
    Thing('car', 'cars', 'vehicle', (0, 60, 230), ('land',), 14, ('red', 'blue', 'white')),
    Thing('boat', 'boats', 'vehicle', (0, 160, 160), ('water',), 14, ('orange', 'yellow', 'purple')),
    Thing('fish', 'fish', 'animal', (0, 226, 252), ('water',), 35, ('orange', 'pink', 'green')),
    Thing('balloon', 'balloons', 'toy', (182, 100, 255), ('air',), 20, ('purple', 'green', 'red')),
    Thing('kite', 'kites', 'toy', (100, 200, 0), ('air',), 45, ('yellow', 'blue', 'green')),
    Thing('mushroom', 'mushrooms', 'plant', (209, 99, 106), ('land',), 18, ('red', 'purple', 'white')),
    Thing('mug', 'mugs', 'household', (60, 90, 120), ('land',), 25, ('blue', 'green', 'white')),
)

STUFF = (
    Stuff('grass', 'the grass', 'ground', (120, 200, 80)),
    Stuff('sand', 'the sand', 'ground', (230, 210, 140)),
    Stuff('water', 'the water', 'ground', (60, 130, 200)),
    Stuff('snow', 'the snow', 'ground', (235, 240, 250)),
    Stuff('road', 'the road', 'ground', (100, 100, 105)),
    Stuff('wood', 'the wooden floor', 'ground', (170, 120, 70)),
    Stuff('clear-sky', 'a clear sky', 'sky', (120, 190, 255)),
    Stuff('cloudy-sky', 'a cloudy sky', 'sky', (175, 190, 205)),
    Stuff('sunset-sky', 'a sunset sky', 'sky', (255, 160, 110)),
    Stuff('night-sky', 'a night sky', 'sky', (30, 35, 90)),
    Stuff('brick-wall', 'a brick wall', 'wall', (180, 80, 65)),
    Stuff('mountain', 'a mountain', 'landscape', (125, 110, 130)),
)

# Named colours of the objects, RGB. Far enough apart to stay apart under the lighting of render.py.
COLOURS: dict[str, tuple[int, int, int]] = {
    'red': (214, 34, 38),
    'orange': (247, 134, 22),
    'yellow': (250, 217, 36),
    'green': (32, 150, 62),
    'blue': (30, 88, 214),
    'purple': (124, 48, 168),
    'pink': (250, 136, 190),
    'white': (244, 244, 240),
}

THING_NAMES = tuple(thing.name for thing in THINGS)
STUFF_NAMES = tuple(stuff.name for stuff in STUFF)
THING_IDS = tuple(range(1, len(THINGS) + 1))
STUFF_IDS = tuple(range(len(THINGS) + 1, len(THINGS) + len(STUFF) + 1))
CATEGORY_ID = dict(zip(THING_NAMES + STUFF_NAMES, THING_IDS + STUFF_IDS, strict=True))

SHAPES_METAINFO: dict = {
    'classes': THING_NAMES,
    'palette': [thing.colour for thing in THINGS],
    'stuff_classes': STUFF_NAMES,
    'stuff_palette': [stuff.colour for stuff in STUFF],
    'thing_ids': THING_IDS,
    'stuff_ids': STUFF_IDS,
    'extra_classes': (),
    'panoptic_stuff': {},
}
