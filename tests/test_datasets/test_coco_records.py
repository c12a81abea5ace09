"""Annotation files side by side, and the description of a sample that their records of an image become."""

import pytest

from mmyolor_mtl.datasets.coco_files import COCOFiles
from mmyolor_mtl.datasets.coco_records import RecordParser
from mmyolor_mtl.datasets.label_space import UNLABELLED, LabelMap

SQUARE = [[10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]]
# Dogs (2) are label 0 and grass (7) is label 1; cats (3) the model does not know.
LABELS = LabelMap(things={2: 0}, pixels={2: 0, 7: 1, 3: UNLABELLED}, thing_ids=frozenset({2, 3}))
IMAGES = [{'id': i, 'file_name': f'{i}.jpg', 'height': 40, 'width': 50} for i in (1, 2)]


def annotation(number, image, category, bbox=(10, 10, 20, 20), **more):
    return {'id': number, 'image_id': image, 'category_id': category, 'bbox': list(bbox), 'iscrowd': 0, **more}


@pytest.fixture
def files():
    dogs = [
        annotation(1, 1, 2, segmentation=SQUARE),
        annotation(2, 1, 3, segmentation=SQUARE),
        annotation(3, 1, 2, (-5, 35, 20, 20), segmentation=SQUARE, iscrowd=1),
    ]
    things = [{'id': 2, 'name': 'dog'}, {'id': 3, 'name': 'cat'}]
    stuff = [{'id': 7, 'name': 'grass'}, {'id': 183, 'name': 'other'}]
    grass = [annotation(1, 1, 7, segmentation=SQUARE), annotation(2, 1, 183, segmentation=SQUARE)]
    sentences = [{'id': 1, 'image_id': 2, 'caption': ' A dog. '}, {'id': 2, 'image_id': 2, 'caption': ' '}]
    return COCOFiles(
        {'instances': 'instances.json', 'stuff': 'stuff.json', 'captions': 'captions.json'},
        instances={'images': IMAGES[:1], 'annotations': dogs, 'categories': things},
        stuff={'images': IMAGES[:1], 'annotations': grass, 'categories': stuff},
        captions={'images': IMAGES, 'annotations': sentences},
    )


def test_files_side_by_side(files):
    assert [name for name, _ in files] == ['instances', 'stuff', 'captions']
    assert files.images() == {1: IMAGES[0], 2: IMAGES[1]}
    classes = dict(classes=('dog', 'cat'), thing_ids=(2, 3), stuff_classes=('grass',), stuff_ids=(7,))
    assert files.classes() == classes
    assert files.names_beyond(LABELS) == ()
    assert files.names_beyond(LabelMap({2: 0}, {2: 0}, frozenset({2}))) == ('cat', 'grass')


def test_one_file_for_things_and_stuff_counts_once(files):
    files.stuff = files.instances
    assert [name for name, _ in files] == ['instances', 'captions']


def test_files_that_contradict_each_other(files):
    files.stuff['categories'].append({'id': 3, 'name': 'tiger'})
    with pytest.raises(ValueError, match=r'stuff.json: category 3 is .*tiger.* in another file'):
        files.classes()


def test_records_become_a_sample(files):
    parser = RecordParser(files, LABELS, {'img': 'images'})
    info = parser.parse(IMAGES[0])
    assert (info['img_path'], info['height'], info['width']) == ('images/1.jpg', 40, 50)
    assert info['labelled_tasks'] == ('det', 'ins', 'sem') and info['captions'] == []
    dog, crowd = info['instances']  # no cat; the crowd is cut at the border
    assert (dog['bbox'], dog['bbox_label'], dog['ignore_flag']) == ([10, 10, 30, 30], 0, 0)
    assert (crowd['bbox'], crowd['ignore_flag']) == ([0, 35, 15, 40], 1)
    # Stuff below, things above it; a class that is unknown is unlabelled, a crowd and COCO's "other" are not painted.
    assert [segment['label'] for segment in info['segments']] == [1, 0, UNLABELLED]


def test_a_sample_has_the_tasks_that_its_image_is_labelled_for(files):
    parser = RecordParser(files, LABELS, {})
    info = parser.parse(IMAGES[1])
    assert info['labelled_tasks'] == ('cap',) and info['captions'] == ['A dog.'] and info['instances'] == []
    assert parser.parse({**IMAGES[0], 'labelled_tasks': ['det', 'cap']})['labelled_tasks'] == ('det',)
    with pytest.raises(ValueError, match=r"image 1: labelled_tasks \['depth'\] are none of"):
        parser.parse({**IMAGES[0], 'labelled_tasks': ['depth']})


def test_panoptic_records_need_the_folder_of_their_maps(files):
    files.panoptic, files.paths = {'images': [], 'annotations': []}, {**files.paths, 'panoptic': 'panoptic.json'}
    with pytest.raises(ValueError, match=r"panoptic.json needs data_prefix\['panoptic'\]"):
        RecordParser(files, LABELS, {})
