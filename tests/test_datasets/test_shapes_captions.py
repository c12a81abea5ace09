"""Every sentence of Shapes is taken apart and held against the ground-truth files."""

import json
import re

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmyolor_mtl.datasets.shapes import COLOURS, STUFF, THINGS, generate_scene, write_captions, write_shapes

WORDS = ('no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten')
NUMBERS = {word: n for n, word in enumerate(WORDS)}
KINDS = {thing.name: n for n, thing in enumerate(THINGS, start=1)}
PLURALS = {thing.plural: n for n, thing in enumerate(THINGS, start=1)}
STUFF_IDS = {stuff.phrase: n for n, stuff in enumerate(STUFF, start=len(THINGS) + 1)}

COLOUR = '|'.join(COLOURS)
ONE = rf'\b(?:an?) ({COLOUR}) ({"|".join(KINDS)})\b'
MANY = rf'\b({"|".join(WORDS[2:])}) ({COLOUR}) ({"|".join(PLURALS)})\b'
PLACE = '|'.join(STUFF_IDS)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """(captions, annotations, semantic map) of every image."""
    root = write_shapes(tmp_path_factory.mktemp('captions') / 'data', 1, 260, 112, seed=11)
    instances = COCO(str(root / 'annotations/instances_val2017.json'))
    captions = COCO(str(root / 'annotations/captions_val2017.json'))
    found = []
    for image_id in instances.getImgIds():
        semantic = cv2.imread(str(root / f'stuffthingmaps/val2017/{image_id:012d}.png'), cv2.IMREAD_GRAYSCALE)
        sentences = [annotation['caption'] for annotation in captions.imgToAnns[image_id]]
        found.append((sentences, instances.imgToAnns[image_id], semantic))
    return found


def pick(annotations, colour, kind):
    """Annotations of a colour and kind, the largest first."""
    same = [a for a in annotations if (a.get('colour'), a['category_id']) == (colour, kind) and not a['iscrowd']]
    return sorted(same, key=lambda a: -a['area'])


def centre(annotation):
    x, y, w, h = annotation['bbox']
    return x + w / 2, y + h / 2


def test_five_different_well_formed_sentences(scenes):
    for sentences, _, _ in scenes:
        assert len(set(sentences)) == 5
        for sentence in sentences:
            assert re.fullmatch(r'[A-Z][a-z, -]+\.', sentence), sentence
            assert '  ' not in sentence and 4 <= len(sentence.split()) <= 24
            assert not re.search(r'\ba (?=[aeiou])|\ban (?![aeiou])', sentence.lower()), sentence


def test_kinds_colours_and_counts(scenes):
    told = 0
    for sentences, annotations, _ in scenes:
        for sentence in sentences:
            text = sentence.lower()
            for colour, kind in re.findall(ONE, text):
                count = len(pick(annotations, colour, KINDS[kind]))
                assert count >= 1 if 'largest is' in text else count == 1, sentence
                told += 1
            for number, colour, kind in re.findall(MANY, text):
                assert len(pick(annotations, colour, PLURALS[kind])) == NUMBERS[number], sentence
                told += 1
    assert told > 5 * len(scenes)


def test_stuff_that_is_named_is_seen(scenes):
    for sentences, _, semantic in scenes:
        for sentence in sentences:
            for phrase in re.findall(PLACE, sentence.lower()):
                assert np.mean(semantic == STUFF_IDS[phrase] - 1) >= 0.005, sentence


def test_ground_and_sky_are_told(scenes):
    skies = {stuff.phrase for stuff in STUFF if stuff.supercategory in ('sky', 'wall')}
    grounds = {stuff.phrase for stuff in STUFF if stuff.supercategory == 'ground'}
    for sentences, _, semantic in scenes:
        text = ' '.join(sentences).lower()
        assert sum(phrase in text for phrase in skies) == 1
        assert any(phrase in text for phrase in grounds)
        sky = next(phrase for phrase in skies if phrase in text)
        assert np.mean(semantic == STUFF_IDS[sky] - 1) >= 0.03


def test_relations(scenes):
    pattern = rf'{ONE} is (to the left of|to the right of|above|below|in front of|behind) {ONE}'
    seen = set()
    for sentences, annotations, _ in scenes:
        for match in re.finditer(pattern, ' '.join(sentences).lower()):
            colour_a, kind_a, words, colour_b, kind_b = match.groups()
            (a,) = pick(annotations, colour_a, KINDS[kind_a])
            (b,) = pick(annotations, colour_b, KINDS[kind_b])
            (ax, ay), (bx, by) = centre(a), centre(b)
            seen.add(words)
            if words in ('in front of', 'behind'):
                gap = [
                    max(a['bbox'][k], b['bbox'][k]) - min(sum(a['bbox'][k::2]), sum(b['bbox'][k::2])) for k in (0, 1)
                ]
                assert max(gap) <= 0, match.group()
                continue
            sideways = 'left' in words or 'right' in words
            assert sideways == (abs(ax - bx) >= abs(ay - by)), match.group()
            first = {'to the left of': ax < bx, 'to the right of': ax > bx, 'above': ay < by, 'below': ay > by}
            assert first[words], match.group()
    assert len(seen) == 6


def test_place_in_the_picture(scenes):
    told = 0
    for sentences, annotations, semantic in scenes:
        pattern = rf'{ONE} is (on the left of|on the right of|in the middle of) the picture'
        for match in re.finditer(pattern, ' '.join(sentences).lower()):
            (a,) = pick(annotations, match[1], KINDS[match[2]])
            x = centre(a)[0] / semantic.shape[1]
            expected = 'left' if x < 0.38 else 'right' if x > 0.62 else 'middle'
            assert expected in match[3]
            told += 1
    assert told > 10


def test_objects_stand_where_the_sentence_says(scenes):
    """The stuff touching an object's base (on the ground) or its outline (in the sky) is the one named."""
    told = 0
    for sentences, annotations, semantic in scenes:
        for match in re.finditer(rf'{ONE} (on|in) ({PLACE})', ' '.join(sentences).lower()):
            found = pick(annotations, match[1], KINDS[match[2]])
            category = STUFF_IDS[match[4]]
            if len(found) != 1 or any(hides(found[0], other) for other in annotations):
                continue  # Its base may be behind something else.
            x, y, w, h = found[0]['bbox']
            air = STUFF[category - len(THINGS) - 1].supercategory == 'sky'
            y1, y2 = (max(0, y - 1), y + h + 1) if air else (y + h - 2, min(len(semantic), y + h + 2))
            around = semantic[y1:y2, max(0, x - 2) : x + w + 2]
            around = around[around >= len(THINGS)]
            assert np.mean(around == category - 1) >= 0.5, (match.group(), found[0]['bbox'])
            told += 1
    assert told > len(scenes)


def hides(a, b):
    return a is not b and all(
        max(a['bbox'][k], b['bbox'][k]) - 3 <= min(sum(a['bbox'][k::2]), sum(b['bbox'][k::2])) for k in (0, 1)
    )


def test_totals_and_the_largest(scenes):
    totals = 0
    for sentences, annotations, _ in scenes:
        single = [a for a in annotations if not a['iscrowd']]
        for sentence in sentences:
            text = sentence.lower()
            if match := re.search(r'there (?:are|is) (\w+) objects? and', text):
                assert len(single) == len(annotations) == NUMBERS[match[1]]
                totals += 1
            if match := re.search(rf'the largest is {ONE}', text):
                largest = max(single, key=lambda a: a['area'])['area']
                assert pick(annotations, match[1], KINDS[match[2]])[0]['area'] == largest
    assert totals > len(scenes) / 2


def test_empty_scenes_and_crowds(scenes):
    empty = crowds = 0
    for sentences, annotations, _ in scenes:
        text = ' '.join(sentences).lower()
        nothing = 'nothing' in text or 'empty' in text or 'no objects' in text
        assert nothing == (not annotations)
        empty += nothing
        match = re.search(rf'a crowd of tiny ({"|".join(PLURALS)})', text)
        crowd = [a['category_id'] for a in annotations if a['iscrowd']]
        assert [PLURALS[match[1]]] == crowd if match else not crowd
        crowds += bool(crowd)
    assert empty >= 3 and crowds >= 5


def test_first_sentence_names_the_largest_object(scenes):
    for sentences, annotations, _ in scenes:
        single = [a for a in annotations if not a['iscrowd']]
        if single:
            largest = max(single, key=lambda a: a['area'])
            colour, noun = re.match(r'\w+ (\w+) (\w+)', sentences[0]).groups()
            assert (colour, (KINDS | PLURALS)[noun]) == (largest['colour'], largest['category_id'])


def test_colours_are_those_of_the_pixels():
    """The commonest palette colour among an object's pixels, brightness set aside, is the one its record names."""
    names, palette = list(COLOURS), np.array(list(COLOURS.values()), float)
    right = total = 0
    for index in range(80):
        scene = generate_scene(9, 'train', index, 160, 160)
        for segment in scene.segments:
            pixels = scene.image[scene.id_map == segment.index].astype(float)
            if segment.colour is None or len(pixels) < 500:
                continue
            pixels *= 245 / np.percentile(pixels.max(axis=1), 90)
            distance = np.square(pixels[:, None] - palette).sum(axis=-1)
            nearest = distance.argmin(axis=1)[distance.min(axis=1) < 60**2]
            right += names[np.bincount(nearest, minlength=len(names)).argmax()] == segment.colour
            total += 1
    assert total > 80 and right >= 0.97 * total


def test_captions_repeat_for_the_same_generator():
    scene = generate_scene(0, 'val', 3, 96, 96)
    first = write_captions(scene, np.random.default_rng(5))
    assert first == write_captions(scene, np.random.default_rng(5))
    assert json.dumps(first).isascii()
