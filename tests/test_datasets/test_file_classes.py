"""Classes from metainfo or from the files, and files with numbers of their own, mapped by name."""

import cv2
import numpy as np
import pytest

from mmyolor_mtl.datasets import COCOMultiTaskDataset, MixedDataset

from . import tiny_coco as tiny

# The model knows the dog under another number, no car, no grass, and stuff that the files lack.
OWN = {
    'classes': ('dog', 'person'),
    'thing_ids': (1, 2),
    'palette': [(1, 2, 3), (4, 5, 6)],
    'stuff_classes': ('water', 'sky-other'),
    'stuff_ids': (3, 4),
    'stuff_palette': [(7, 8, 9), (3, 3, 3)],
    'extra_classes': (),
    'panoptic_stuff': {},
}
COCO = {
    'classes': ('person', 'car', 'dog'),
    'thing_ids': (tiny.PERSON, tiny.CAR, tiny.DOG),
    'stuff_classes': ('grass', 'sky-other'),
    'stuff_ids': (tiny.GRASS, tiny.SKY),
}
SHOUTED = {key: tuple(v.upper() if isinstance(v, str) else v for v in values) for key, values in COCO.items()}
STUFF = {'stuff_file': 'annotations/stuff_train2017.json', 'data_prefix': {'img': 'train2017'}}
PANOPTIC = {
    'panoptic_file': 'annotations/panoptic_train2017.json',
    'data_prefix': {'img': 'train2017', 'panoptic': 'annotations/panoptic_train2017'},
}


def build(root, **overrides):
    return COCOMultiTaskDataset(**tiny.config(root, pipeline=tiny.LOAD, **overrides))


def sample_of(dataset, img_id):
    return next(s for s in (dataset[i] for i in range(len(dataset))) if s['img_id'] == img_id)


@pytest.mark.parametrize(
    'files', [{'file_classes': COCO}, {'file_classes': 'file', **STUFF}, {'file_classes': 'file', **PANOPTIC}]
)
def test_files_with_other_numbers_are_mapped_by_name(tiny_root, log, files):
    original = sample_of(build(tiny_root), tiny.PLAIN)
    dataset = build(tiny_root, metainfo=OWN, check='decode', **files)
    found = sample_of(dataset, tiny.PLAIN)  # a person and a car
    assert original['gt_bboxes_labels'].tolist() == [0, 2] and found['gt_bboxes_labels'].tolist() == [1]
    assert len(found['gt_masks']) == 1
    assert sample_of(dataset, tiny.PARTS)['gt_bboxes_labels'].tolist() == [1, 0, 1]
    table = np.full(256, 255, np.uint8)
    table[0], table[tiny.contiguous(tiny.SKY)] = 1, 3
    assert (found['gt_seg_map'] == table[original['gt_seg_map']]).all()
    assert found['gt_seg_map'].min() == 1
    lines = [text for text in log if 'which are left out' in text]
    assert len(lines) == 1 and 'car' in lines[0] and 'grass' in lines[0] and 'other' not in lines[0].split(', ')


def test_pngs_may_be_contiguous_in_the_order_of_the_files(own_root):
    path = own_root / f'stuffthingmaps/train2017/{tiny.PLAIN:012d}.png'
    published = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    for other in path.parent.iterdir():
        other.unlink()
    table = np.full(256, 255, np.uint8)
    table[[tiny.PERSON - 1, tiny.CAR - 1, tiny.DOG - 1, tiny.GRASS - 1, tiny.SKY - 1]] = range(5)
    cv2.imwrite(str(path), table[published])
    found = sample_of(
        build(own_root, metainfo=OWN, file_classes=COCO, seg_map_values='contiguous', check='decode'), tiny.PLAIN
    )
    labels = {tiny.PERSON: 1, tiny.CAR: 255, tiny.GRASS: 255, tiny.SKY: 3}
    for category, label in labels.items():
        assert (found['gt_seg_map'][published == category - 1] == label).all()


def test_a_thing_that_the_model_takes_for_stuff_is_labelled_by_pixels_only(tiny_root):
    meta = {**OWN, 'classes': ('dog',), 'thing_ids': (1,), 'stuff_classes': ('person',), 'stuff_ids': (2,)}
    found = sample_of(build(tiny_root, metainfo=meta, file_classes=COCO), tiny.PLAIN)
    assert len(found['gt_bboxes']) == 0 and set(np.unique(found['gt_seg_map'])) == {1, 255}


def test_dropped_things_hide_what_they_cover(own_root):
    """A car in front of a person: the car is unlabelled, and not the person behind it."""
    content = tiny.read(own_root, 'instances_train2017')
    mine = [ann for ann in content['annotations'] if ann['image_id'] == tiny.PLAIN]
    box = [30.0, 20.0, 50.0, 20.0, 50.0, 40.0, 30.0, 40.0]
    mine[1].update(segmentation=[box], bbox=[30.0, 20.0, 20.0, 20.0], area=400.0)
    tiny.write(own_root, 'instances_train2017', content)
    found = sample_of(build(own_root, metainfo=OWN, file_classes=COCO, **STUFF), tiny.PLAIN)
    assert found['gt_bboxes_labels'].tolist() == [1]
    assert (found['gt_seg_map'][20:40, 30:50] == 255).all() and found['gt_seg_map'][30, 25] == 1


def test_metainfo_from_the_files(tiny_root):
    lazy = COCOMultiTaskDataset(**tiny.config(tiny_root, metainfo='file', lazy_init=True, **STUFF))
    meta = lazy.metainfo
    assert len(meta['classes']) == len(meta['palette']) == 80
    assert len(meta['stuff_classes']) == len(meta['stuff_palette']) == 91 and 'other' not in meta['stuff_classes']
    assert meta['extra_classes'] == () and len(lazy) == len(tiny.SIZES)
    expected = sample_of(build(tiny_root, **STUFF), tiny.PARTS)
    assert (
        sample_of(build(tiny_root, metainfo='file', **STUFF), tiny.PARTS)['gt_seg_map'] == expected['gt_seg_map']
    ).all()


def test_one_file_may_hold_things_and_stuff(own_root):
    content, stuff = (tiny.read(own_root, f'{name}_train2017') for name in ('instances', 'stuff'))
    content['annotations'] += [ann for ann in stuff['annotations'] if ann['category_id'] != tiny.OTHER]
    content['categories'] += [{**c, 'isthing': 0} for c in stuff['categories'] if c['id'] != tiny.OTHER]
    tiny.write(own_root, 'both', content)
    expected = sample_of(build(own_root, metainfo='file', **STUFF), tiny.PLAIN)
    one = {'ann_file': 'annotations/both.json', 'stuff_file': 'annotations/both.json', 'metainfo': 'file'}
    found = sample_of(build(own_root, **{**STUFF, **one}), tiny.PLAIN)
    assert (found['gt_seg_map'] == expected['gt_seg_map']).all()
    assert found['gt_bboxes_labels'].tolist() == expected['gt_bboxes_labels'].tolist()


def test_data_sets_with_different_lists_train_one_model(tiny_root, own_root):
    content = tiny.read(own_root, 'instances_train2017')
    renumbered = {tiny.PERSON: 7, tiny.CAR: 0, tiny.DOG: 1200}  # numbers that no map could hold
    content['annotations'] = [{**a, 'category_id': renumbered[a['category_id']]} for a in content['annotations']]
    content['categories'] = [
        {'id': renumbered[c['id']], 'name': c['name']} for c in content['categories'] if c['id'] in renumbered
    ]
    tiny.write(own_root, 'instances_train2017', content)
    first = tiny.config(tiny_root, file_classes=COCO)
    second = tiny.config(own_root, file_classes='file', data_prefix={'img': 'train2017/'})
    both = MixedDataset(
        [{'type': 'mmyolor_mtl.COCOMultiTaskDataset', **one, 'pipeline': tiny.LOAD} for one in (first, second)],
        metainfo=OWN,
    )
    samples = [both[i] for i in range(len(both))]
    half = len(samples) // 2
    assert half == len(tiny.SIZES)
    for one, other in zip(samples[:half], samples[half:], strict=True):
        if 'gt_bboxes' in one:
            assert one['gt_bboxes_labels'].tolist() == other['gt_bboxes_labels'].tolist()


@pytest.mark.parametrize(
    ('overrides', 'message'),
    [
        ({'file_classes': SHOUTED}, "no class of the files is known.*'PERSON', 'CAR', 'DOG', 'GRASS', 'SKY-OTHER'"),
        ({'file_classes': {**COCO, 'stuff_classes': ('grass', 'dog')}}, "file_classes has 'dog' twice"),
        ({'file_classes': {**COCO, 'thing_ids': (1, 3, 3)}}, 'file_classes has 3 twice'),
        ({'file_classes': {**COCO, 'thing_ids': (1, 3)}}, 'file_classes has 3 classes but 2 thing_ids'),
        ({'file_classes': {'classes': (), 'thing_ids': ()}}, 'file_classes has no stuff_classes and no stuff_ids'),
        ({'file_classes': COCO, 'metainfo': {**OWN, 'classes': ('dog', 'dog')}}, "the metainfo has 'dog' twice"),
        ({'file_classes': 'names'}, "file_classes='names' must be a dict or 'file'"),
        ({'metainfo': 'coco'}, "metainfo='coco' must be a dict or 'file'"),
        ({'metainfo': 'file', 'file_classes': COCO}, 'leave file_classes out'),
        ({'metainfo': 'file', 'ann_file': ''}, 'no "categories" to take the classes from'),
    ],
)  # fmt: skip
def test_contradictions(tiny_root, overrides, message):
    with pytest.raises(ValueError, match=message):
        COCOMultiTaskDataset(**tiny.config(tiny_root, **{'metainfo': OWN, **overrides}))


@pytest.mark.parametrize(
    ('category', 'message'),
    [
        ({'id': 400, 'name': 'person'}, "category 400 .'person'. has the id or the name of another"),
        ({'id': 1, 'name': 'woman'}, "category 1 .'woman'. has the id or the name of another"),
        ({'id': 92, 'name': 'bunting'}, "category 92 is stuff 'banner', but thing 'bunting' in another file"),
        ({'id': 92, 'name': 'banner'}, "category 92 is stuff 'banner', but thing 'banner' in another file"),
        ({'id': 300, 'name': 'banner'}, "'banner'. has the id or the name of another"),
        ({'id': '400', 'name': 'woman'}, 'no whole number as id'),
    ],
)
def test_files_that_contradict_each_other(own_root, category, message):
    content = tiny.read(own_root, 'instances_train2017')
    content['categories'].append(category)
    tiny.write(own_root, 'instances_train2017', content)
    with pytest.raises(ValueError, match=message):
        COCOMultiTaskDataset(**tiny.config(own_root, metainfo='file', **STUFF))


def test_ids_that_no_map_can_hold_are_refused_with_the_way_out(own_root):
    content = tiny.read(own_root, 'instances_train2017')
    content['categories'].append({'id': 0, 'name': 'cup holder'})
    tiny.write(own_root, 'instances_train2017', content)
    with pytest.raises(ValueError, match=r"distinct category ids in \[1, 254\].*file_classes='file'"):
        COCOMultiTaskDataset(**tiny.config(own_root, metainfo='file', **STUFF))


def test_test_sets_in_another_order_are_warned_about(tiny_root, log):
    build(tiny_root, metainfo=OWN, file_classes=COCO, test_mode=True)
    assert any('or lists them in another order' in text for text in log)
    log.clear()
    build(tiny_root, metainfo={**OWN, 'classes': ('person', 'dog')}, file_classes=COCO, test_mode=True)
    assert not any('CocoMetric' in text for text in log)
    three = {**OWN, 'classes': ('person', 'dog', 'emu'), 'thing_ids': (1, 2, 9)}
    build(tiny_root, metainfo=three, file_classes=COCO, test_mode=True)
    assert any('lacks things of the metainfo' in text for text in log)
