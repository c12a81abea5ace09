import json

import pytest

from mmyolor_mtl.evaluation.caption_files import name_images, read_references, read_results, write_results


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8')
    return path


def test_references(tmp_path):
    annotations = [{'image_id': 2, 'caption': 'A dog'}, {'image_id': 'x', 'caption': 'Ein Hündchen 🐶'}]
    annotations.append({'image_id': 2, 'caption': ''})
    path = write(tmp_path / 'a.json', {'images': [{'id': 1}, {'id': 2}], 'annotations': annotations})
    assert read_references(path) == {1: [], 2: ['A dog', ''], 'x': ['Ein Hündchen 🐶']}


def test_results_read_back(tmp_path):
    captions = {3: 'A "red" dog 🐶', 'b': '', 1: 'two\nlines'}
    path = tmp_path / 'new' / 'results.json'
    write_results(path, captions)
    assert list(read_results(path).items()) == list(captions.items())
    assert [entry.name for entry in path.parent.iterdir()] == ['results.json']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"annotations"', 'is not valid JSON'),
        ([], 'no list "annotations"'),
        ([{'image_id': 1, 'caption': 'a'}], 'is the order of the arguments right'),
        ({'images': []}, 'no list "annotations"'),
        ({'annotations': []}, 'holds no captions'),
        ({'annotations': [], 'images': [{'id': 1}]}, 'holds no captions'),
        ({'annotations': [{'image_id': 1}]}, r'annotation 0 \(image 1\) has no text "caption"'),
        ({'annotations': [{'caption': 'a'}]}, 'annotation 0 has no "image_id"'),
    ],
)
def test_bad_references(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read_references(write(tmp_path / 'refs.json', content))
    assert 'refs.json' in str(error.value)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'is not valid JSON'),
        ([], 'holds no results'),
        ({'annotations': []}, 'is no COCO result file'),
        (['a dog'], 'result 0 has no "image_id": \'a dog\''),
        ([{'image_id': [1], 'caption': 'a'}], 'result 0 has no "image_id"'),
        ([{'image_id': 1, 'caption': 'a'}, {'image_id': 2, 'caption': None}], r'result 1 \(image 2\) has no text'),
        ([{'image_id': i % 2, 'caption': 'a'} for i in range(4)], r'more than one caption of 2 images \(0, 1\)'),
    ],
)
def test_bad_results(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read_results(write(tmp_path / 'res.json', content))
    assert 'res.json' in str(error.value)


def test_missing_file(tmp_path):
    for read in (read_references, read_results):
        with pytest.raises(FileNotFoundError, match=r'none\.json'):
            read(tmp_path / 'none.json')


def test_name_images():
    assert name_images([7]) == '1 image (7)'
    assert name_images(list('abcdef')) == "6 images ('a', 'b', 'c', 'd', 'e', ...)"
