import logging

import numpy as np
import pycocotools.mask as mask_utils
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mmengine.logging import MMLogger
from PIL import Image

from mmyolor_mtl.datasets import COCO_METAINFO, COCOMultiTaskDataset, semantic_lut
from mmyolor_mtl.datasets.label_space import FOREIGN
from mmyolor_mtl.datasets.validation import (
    Problems,
    check_captions,
    check_instances,
    image_fault,
    is_truncated,
    read_semantic_map,
    semantic_map_fault,
)
from mmyolor_mtl.datasets.validation.geometry import PolygonChecks, box_fault, mask_fault, rle_counts, rle_fault
from mmyolor_mtl.datasets.validation.problems import by_kind

from . import tiny_coco as tiny


def test_sound_data_passes_at_every_level(tiny_root):
    for level in ('none', 'header', 'decode'):
        assert len(COCOMultiTaskDataset(**tiny.config(tiny_root, check=level))) == len(tiny.SIZES)


def test_whoever_insists_can_start_with_faults(own_root):
    content = tiny.read(own_root, 'instances_train2017')
    content['annotations'][0]['category_id'] = 12
    tiny.write(own_root, 'instances_train2017', content)
    with pytest.raises(ValueError, match="With check='none'"):
        COCOMultiTaskDataset(**tiny.config(own_root))
    assert len(COCOMultiTaskDataset(**tiny.config(own_root, check='none'))) == len(tiny.SIZES)


def test_real_annotations_are_sound(shared_dir):
    for split in ('train2017', 'val2017'):
        instances, captions = (
            tiny.read(shared_dir / 'mini_coco', f'{kind}_{split}') for kind in ('instances', 'captions')
        )
        problems = Problems(split)
        check_instances(instances, 'instances', COCO_METAINFO['thing_ids'], problems)
        check_captions(captions, 'captions', instances, 'instances', problems)
        assert problems.found == problems.warnings == []


def test_many_problems_make_one_short_error():
    problems = Problems('data')
    for i in range(12):
        problems.add(f'problem of image {i}')
    with pytest.raises(ValueError, match='12 problem') as caught:
        problems.raise_if_any()
    message = str(caught.value)
    assert 'image 4' in message and 'image 5' not in message and 'and 7 more' in message
    Problems('data').raise_if_any()


def test_warnings_are_summed_up_by_kind_and_raise_nothing():
    problems = Problems('data')
    problems.warn('box of image 1', 'boxes')
    for i in range(3):
        problems.warn(f'caption of image {i}', 'captions')
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    MMLogger.get_current_instance().addHandler(handler)
    problems.raise_if_any()
    MMLogger.get_current_instance().removeHandler(handler)
    assert list(by_kind(problems.warnings)) == ['captions', 'boxes'] and not problems.found
    (message,) = messages
    assert '4 warning(s)' in message and 'captions: 3, such as caption of image 0' in message


@settings(deadline=None)
@given(mask=arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1)))
def test_run_lengths_are_those_of_pycocotools(mask):
    compressed, plain = tiny.rle_of(mask, compressed=True), tiny.rle_of(mask, compressed=False)
    assert rle_counts(compressed['counts']).tolist() == plain['counts']
    for rle in (compressed, plain):
        fault = rle_fault(rle, mask.shape)
        assert (fault is None) if mask.any() else fault.kind == 'mask without a pixel'
    assert rle_fault({**compressed, 'size': [mask.shape[0] + 1, mask.shape[1]]}, None).kind == 'bad RLE'


def test_large_masks_have_long_runs():
    mask = np.zeros((2000, 3000), np.uint8)
    mask[500:, 100:] = 1
    counts = rle_counts(tiny.rle_of(mask, compressed=True)['counts'])
    assert counts.sum() == mask.size and counts[1::2].sum() == mask.sum()


@pytest.mark.parametrize('counts', [None, '', 5, '~', '1P', 'P' * 12 + '1', [1.5], [True], []])
def test_what_is_no_run_length(counts):
    with pytest.raises(ValueError, match='runs|counts|run-length'):
        rle_counts(counts)


BOX = st.tuples(st.floats(-20, 120), st.floats(-20, 120), st.floats(0, 100), st.floats(0, 100))


@given(box=BOX.map(list))
@example(box=[0.0, 0.0, 1e-200, 1e-200])
def test_boxes_without_fault_have_area_inside_the_image(box):
    fault = box_fault(box, (60, 90))
    x, y, w, h = box
    area = max(min(x + w, 90) - max(x, 0), 0) * max(min(y + h, 60) - max(y, 0), 0)
    if fault is None or fault.kind == 'box beyond the border':
        assert area > 0
    else:
        assert area < 1e-9


COORDINATE = st.integers(0, 60).map(lambda v: v / 2)


@settings(deadline=None)
@given(polygon=st.lists(st.tuples(COORDINATE, COORDINATE), min_size=3, max_size=8))
def test_polygons_are_compared_with_what_they_draw(polygon):
    points = np.array(polygon)
    box = [*points.min(0).tolist(), *np.ptp(points, axis=0).tolist()]
    flat = points.ravel().tolist()
    assert mask_fault([flat], (32, 32)) is None
    checks = PolygonChecks()
    found = [*checks.add('key', box, [flat], (32, 32)), *checks.flush()]
    drawn = mask_utils.area(mask_utils.frPyObjects([flat], 32, 32))[0]
    assert [(key, fault.kind) for key, fault in found] in ([], [('key', 'mask without a pixel')])
    assert not (found and drawn) and (found or drawn or min(box[2:]) >= 2)
    shifted = [*checks.add(1, [box[0] + 40, *box[1:]], [flat], None), *checks.flush()]
    assert [fault.kind for _, fault in shifted] == ['box unlike its mask']


def test_turned_photographs_are_measured_upright(tmp_path):
    path = tmp_path / 'turned.jpg'
    exif = Image.Exif()
    exif[0x0112] = 6  # quarter turn
    Image.new('RGB', (40, 30)).save(path, exif=exif)
    assert image_fault(str(path), (40, 30)) is None  # the loader turns it as well
    assert '30 x 40 px' in image_fault(str(path), (30, 40))
    # Whether other formats are turned is OpenCV's matter; header and pixels must agree.
    for kind in ('PNG', 'WEBP'):
        Image.new('RGB', (40, 30)).save(path, format=kind, exif=exif)
        sizes = [size for size in ((40, 30), (30, 40)) if image_fault(str(path), size) is None]
        assert len(sizes) == 1


def test_bytes_after_the_end_marker_are_no_fault(tmp_path):
    path = tmp_path / 'padded.jpg'
    Image.new('RGB', (40, 30)).save(path)
    path.write_bytes(path.read_bytes() + b'\0' * 100)
    assert not is_truncated(str(path)) and image_fault(str(path), (30, 40), decode=True) is None
    path.write_bytes(b'other format')
    assert not is_truncated(str(path))


def test_palette_images_are_read_by_index(tmp_path):
    path = tmp_path / 'palette.png'
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(values, mode='P')
    image.putpalette(list(range(256)) * 3)
    image.save(path)
    assert (read_semantic_map(str(path)) == values).all()
    fault = semantic_map_fault(str(path), (3, 4), semantic_lut(COCO_METAINFO) != FOREIGN, decode=True)
    assert '[11]' in fault
