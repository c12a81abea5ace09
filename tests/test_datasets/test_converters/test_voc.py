"""Pascal VOC's folders: boxes, masks, semantic maps, difficult objects."""

import numpy as np
import pycocotools.mask as mask_utils
import pytest
from PIL import Image

from mmyolor_mtl.datasets.converters import convert_voc
from mmyolor_mtl.datasets.converters.voc import VOC_CLASSES

from .helpers import by_class, draw, read, semantic

CAT, DOG = VOC_CLASSES.index('cat') + 1, VOC_CLASSES.index('dog') + 1


@pytest.fixture
def source(tmp_path):
    return tmp_path / 'VOC2012'


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'out'


def xml(source, stem, objects, size=(40, 60), file_name=None):
    """An XML file; objects are (name, xmin, ymin, xmax, ymax, difficult), 1-based and inclusive."""
    body = ''.join(
        f'<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>'
        f'<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>'
        for name, a, b, c, d, difficult in objects
    )
    text = (
        f'<annotation><filename>{file_name or stem + ".jpg"}</filename><size><width>{size[1]}</width>'
        f'<height>{size[0]}</height><depth>3</depth></size>{body}</annotation>'
    )
    path = source / 'Annotations' / f'{stem}.xml'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    draw(source / 'JPEGImages' / f'{stem}.jpg')


def palette(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values, mode='P')
    image.putpalette([v for i in range(256) for v in (i, 255 - i, i // 2)])
    image.save(path)


def segment(source, stem):
    """A cat (object 1), a dog (object 2), a cat nobody drew a box of (object 3), void around the first."""
    classes, instances = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    classes[4:16, 4:26] = instances[4:16, 4:26] = 255
    for number, value, part in (
        (1, CAT, np.s_[5:15, 5:25]),
        (2, DOG, np.s_[20:30, 5:25]),
        (3, CAT, np.s_[5:15, 40:50]),
    ):
        classes[part], instances[part] = value, number
    palette(source / 'SegmentationClass' / f'{stem}.png', classes)
    palette(source / 'SegmentationObject' / f'{stem}.png', instances)
    return classes, instances


def test_boxes_count_from_one_and_difficult_objects_become_crowds(source, out):
    xml(source, 'a', [('cat', 1, 1, 60, 40, 0), ('dog', 11, 6, 20, 15, 1)])
    counts, findings = convert_voc(source, out)
    assert counts == {'images': 1, 'annotations': 2, 'captions': 0, 'maps': 0} and not findings.found
    content = read(out / 'annotations/instances.json')
    found = by_class(content, 'a.jpg')
    assert found['cat'][0]['bbox'] == [0, 0, 60, 40] and found['cat'][0]['iscrowd'] == 0
    assert found['dog'][0]['bbox'] == [10, 5, 10, 10]
    assert (found['dog'][0]['iscrowd'], found['dog'][0]['difficult']) == (1, 1)
    assert tuple(c['name'] for c in content['categories']) == VOC_CLASSES


def test_zero_based_boxes_and_names_of_ones_own(source, out):
    xml(source, 'a', [('zebra', 10, 5, 19, 14, 0), ('ant', 0, 0, 3, 3, 0)])
    convert_voc(source, out, zero_based=True)
    content = read(out / 'annotations/instances.json')
    assert by_class(content, 'a.jpg')['zebra'][0]['bbox'] == [10, 5, 10, 10]
    assert [c['name'] for c in content['categories']] == ['ant', 'zebra']


def test_masks_go_to_the_boxes_that_they_fill(source, out):
    # The dog stands first in the file: numbers of objects do not decide.
    xml(source, 'a', [('dog', 6, 21, 25, 30, 0), ('cat', 6, 6, 25, 15, 0), ('cat', 30, 30, 35, 35, 0)])
    xml(source, 'b', [('cat', 1, 1, 5, 5, 0)])
    _, instances = segment(source, 'a')
    convert_voc(source, out)
    content = read(out / 'annotations/instances.json')
    found = by_class(content, 'a.jpg')
    np.testing.assert_array_equal(mask_utils.decode(found['dog'][0]['segmentation']), instances == 2)
    boxed, bare, own = found['cat']
    np.testing.assert_array_equal(mask_utils.decode(boxed['segmentation']), instances == 1)
    assert 'segmentation' not in bare and bare['bbox'] == [29, 29, 6, 6]
    assert own['bbox'] == [40, 5, 10, 10] and own['area'] == 100
    assert 'segmentation' not in by_class(content, 'b.jpg')['cat'][0]


def test_semantic_maps_with_a_background(source, out):
    xml(source, 'a', [('cat', 6, 6, 25, 15, 0)])
    xml(source, 'b', [])
    classes, _ = segment(source, 'a')
    counts, _ = convert_voc(source, out, background='background')
    values = semantic(out / 'stuffthingmaps/a.png')
    assert counts['maps'] == 1 and not (out / 'stuffthingmaps/b.png').exists()
    np.testing.assert_array_equal(values == 255, classes == 255)
    np.testing.assert_array_equal(values == 20, classes == 0)
    np.testing.assert_array_equal(values == CAT - 1, classes == CAT)
    assert read(out / 'classes.json')[20] == {'id': 21, 'name': 'background', 'isthing': 0}


def test_everything_that_is_wrong_is_listed(source, out):
    xml(
        source,
        'a',
        [('cat', 1, 1, 9, 9, 0), ('unicorn', 1, 1, 9, 9, 0), ('dog', 90, 1, 99, 9, 0), ('dog', 9, 9, 1, 1, 0)],
    )
    xml(source, 'b', [], size=(40, 61))
    xml(source, 'c', [])
    (source / 'JPEGImages/c.jpg').unlink()
    (source / 'Annotations/d.xml').write_text('<annotation>')
    (source / 'Annotations/e.xml').write_text('<annotation><object><name>cat</name></object></annotation>')
    xml(source, 'f', [('cat', 'one', 1, 9, 9, 0)])
    xml(source, 'g', [])
    palette(source / 'SegmentationClass/g.png', np.full((40, 60), 77, np.uint8))
    xml(source, 'h', [])
    palette(source / 'SegmentationClass/h.png', np.zeros((40, 61), np.uint8))
    with pytest.raises(ValueError, match='problem') as caught:
        convert_voc(source, out, VOC_CLASSES)
    for words in (
        "a.xml: object 2: 'unicorn' is not among the classes",
        'a.xml: object 3 (dog): its box [90.0, 1.0, 99.0, 9.0] covers no pixel',
        'a.xml: object 4 (dog): its box [9.0, 9.0, 1.0, 1.0] covers no pixel',
        'b.xml: its size is 61 x 40, the image b.jpg has 60 x 40',
        'c.xml: its image',
        'd.xml: no element found',
        'e.xml: object 1 has no name or no bndbox',
        "f.xml: object 1 (cat): bndbox ['one', '1', '9', '9'] holds something else than numbers",
        'g.xml: SegmentationClass/g.png holds the values [77] of no class',
        'h.png is 61 x 40 px, the image 60 x 40',
    ):
        assert words in str(caught.value), words
    assert not out.exists()
    counts, findings = convert_voc(source, out, VOC_CLASSES, skip_bad=True)
    assert counts['images'] == 1 and counts['annotations'] == 1 and len(findings.found) == 10


def test_maps_of_unknown_classes_need_an_order(source, out):
    xml(source, 'a', [('zebra', 1, 1, 9, 9, 0)])
    with pytest.raises(ValueError, match='--background needs semantic maps'):
        convert_voc(source, out, background='rest')
    (source / 'SegmentationClass').mkdir()
    with pytest.raises(ValueError, match=r"found \['zebra'\]: give them with --classes"):
        convert_voc(source, out)
    with pytest.raises(FileNotFoundError, match='there is no Annotations/'):
        convert_voc(source / 'Annotations', out)


def test_the_image_is_found_when_the_file_name_is_out_of_date(source, out):
    xml(source, 'a', [], file_name='DSC_0001.JPG')
    (source / 'JPEGImages/a.jpg').rename(source / 'JPEGImages/a.png')
    convert_voc(source, out)
    assert read(out / 'annotations/instances.json')['images'][0]['file_name'] == 'a.png'
