"""Semantic maps from PNGs of any writing, from stuff files, and from panoptic files: all say the same."""

import shutil

import cv2
import numpy as np
import pytest

from mmyolor_mtl.datasets import COCO_METAINFO, COCOMultiTaskDataset

from . import tiny_coco as tiny

STUFF = {'stuff_file': 'annotations/stuff_train2017.json', 'data_prefix': {'img': 'train2017'}}
PANOPTIC = {
    'panoptic_file': 'annotations/panoptic_train2017.json',
    'data_prefix': {'img': 'train2017', 'panoptic': 'annotations/panoptic_train2017'},
}
NO_FILES = {'ann_file': '', 'caption_file': ''}


def samples(root, **overrides):
    """Loaded samples by image id."""
    dataset = COCOMultiTaskDataset(**tiny.config(root, pipeline=tiny.LOAD, **overrides))
    return {sample['img_id']: sample for sample in (dataset[i] for i in range(len(dataset)))}


def crowd_of(sample):
    """Pixels of the crowd of the image that has one; COCO's maps leave it out, and this one's PNG does not."""
    masks = sample['gt_masks'].to_bitmap().masks[sample['gt_ignore_flags']]
    return masks.any(0) if len(masks) else np.zeros(sample['gt_seg_map'].shape, bool)


def rewrite_maps(root, table):
    for path in (root / 'stuffthingmaps/train2017').iterdir():
        assert cv2.imwrite(str(path), table[cv2.imread(str(path), cv2.IMREAD_UNCHANGED)])


@pytest.mark.parametrize('values', ['category_id', 'contiguous'])
def test_maps_of_any_writing(tiny_root, own_root, values):
    table = np.arange(256, dtype=np.uint8)
    if values == 'category_id':
        table[:255] += 1
        table[255] = 0  # both 0 and 255 are unlabelled
    else:
        ids = [*COCO_METAINFO['thing_ids'], *COCO_METAINFO['stuff_ids']]
        table[np.array(ids) - 1] = np.arange(len(ids))
    rewrite_maps(own_root, table)
    expected = samples(tiny_root)
    found = samples(own_root, seg_map_values=values, check='decode')
    compared = 0
    for img_id, sample in expected.items():
        if 'gt_seg_map' in sample:
            assert (found[img_id]['gt_seg_map'] == sample['gt_seg_map']).all()
            compared += 1
    assert compared == 5


def test_stuff_file_gives_the_map_of_the_pngs(tiny_root):
    from_png, painted = samples(tiny_root), samples(tiny_root, **STUFF)
    assert {i: s['labelled_tasks'] for i, s in painted.items()} == {i: s['labelled_tasks'] for i, s in from_png.items()}
    for img_id in (tiny.PLAIN, tiny.PARTS, tiny.EMPTY, tiny.NO_CAPTION, tiny.NO_MASK):
        expected = from_png[img_id]['gt_seg_map'].copy()
        if img_id == tiny.PARTS:
            assert crowd_of(from_png[img_id]).sum() > 100
            expected[crowd_of(from_png[img_id])] = 255
        assert painted[img_id]['gt_seg_map'].dtype == np.uint8
        assert (painted[img_id]['gt_seg_map'] == expected).all()


def test_stuff_file_alone(tiny_root):
    found = samples(tiny_root, **NO_FILES, **STUFF)
    assert {sample['labelled_tasks'] for sample in found.values()} == {('sem',)}
    grass, sky = tiny.contiguous(tiny.GRASS), tiny.contiguous(tiny.SKY)
    assert set(np.unique(found[tiny.PLAIN]['gt_seg_map'])) == {grass, sky, 255}  # things are unlabelled


def test_a_png_is_preferred_to_painting(own_root):
    path = own_root / f'stuffthingmaps/train2017/{tiny.PLAIN:012d}.png'
    blank = np.full(tiny.SIZES[tiny.PLAIN], 255, np.uint8)
    cv2.imwrite(str(path), blank)
    (own_root / f'stuffthingmaps/train2017/{tiny.EMPTY:012d}.png').unlink()
    found = samples(own_root, stuff_file=STUFF['stuff_file'])
    assert (found[tiny.PLAIN]['gt_seg_map'] == 255).all() and 'segments' not in found[tiny.PLAIN]
    assert (found[tiny.EMPTY]['gt_seg_map'] != 255).any()


def test_panoptic_file_gives_everything(tiny_root):
    expected = samples(tiny_root)
    found = samples(tiny_root, **{**NO_FILES, **PANOPTIC}, check='decode')
    assert set(found) == {tiny.PLAIN, tiny.PARTS, tiny.EMPTY, tiny.NO_CAPTION, tiny.NO_MASK}
    for img_id in (tiny.PLAIN, tiny.PARTS, tiny.EMPTY, tiny.NO_CAPTION):
        own, other = found[img_id], expected[img_id]
        assert own['labelled_tasks'] == ('det', 'ins', 'sem')
        assert (own['gt_seg_map'] == other['gt_seg_map']).all()  # crowds carry their class here
        assert own['gt_bboxes_labels'].tolist() == other['gt_bboxes_labels'].tolist()
        assert own['gt_ignore_flags'].tolist() == other['gt_ignore_flags'].tolist()
        assert (own['gt_masks'].to_bitmap().masks == other['gt_masks'].to_bitmap().masks).all()
        assert np.abs(own['gt_bboxes'] - other['gt_bboxes']).max(initial=0) <= 1


def test_instances_file_is_preferred_to_panoptic_objects(tiny_root):
    found = samples(tiny_root, **PANOPTIC)
    assert 'mask' in found[tiny.PLAIN]['instances'][0] and 'panoptic' in found[tiny.PLAIN]
    assert found[tiny.NO_MASK]['labelled_tasks'] == ('det', 'sem', 'cap')
    assert found[tiny.NO_MAP]['labelled_tasks'] == ('det', 'ins', 'cap')
    with_png = {**PANOPTIC['data_prefix'], 'seg': 'stuffthingmaps/train2017'}
    assert 'panoptic' not in samples(tiny_root, **{**PANOPTIC, 'data_prefix': with_png})[tiny.PLAIN]


def test_only_the_needed_labels_are_loaded(tiny_root):
    pipeline = [tiny.LOAD[0], {**tiny.LOAD[1], 'tasks': ('det',)}]
    config = tiny.config(tiny_root, **{**NO_FILES, **PANOPTIC}, check='none')
    dataset = COCOMultiTaskDataset(**{**config, 'pipeline': pipeline})
    info = dataset.get_data_info(0)
    info['panoptic']['path'] = 'nowhere.png'
    assert len(dataset.pipeline({**info, 'dataset': dataset})['gt_bboxes']) == 2


def test_image_record_can_narrow_the_panoptic_labels(own_root):
    content = tiny.read(own_root, 'panoptic_train2017')
    content['images'][0]['labelled_tasks'] = ['det', 'ins']
    content['images'][1]['labelled_tasks'] = ['sem']
    tiny.write(own_root, 'panoptic_train2017', content)
    found = samples(own_root, **{**NO_FILES, **PANOPTIC})
    assert 'gt_seg_map' not in found[tiny.PLAIN] and len(found[tiny.PLAIN]['gt_masks']) == 2
    assert 'gt_masks' not in found[tiny.PARTS] and found[tiny.PARTS]['gt_seg_map'].max() == 255


def test_merged_panoptic_classes_are_unlabelled_unless_the_metainfo_has_them(own_root, log):
    content = tiny.read(own_root, 'panoptic_train2017')
    merged = {tiny.GRASS: (193, 'grass-merged'), tiny.SKY: (187, 'sky-other-merged')}
    for ann in content['annotations']:
        for segment in ann['segments_info']:
            segment['category_id'] = merged.get(segment['category_id'], (segment['category_id'],))[0]
    content['categories'] = [c for c in content['categories'] if c['id'] not in merged]
    content['categories'] += [{'id': i, 'name': name, 'isthing': 0} for i, name in merged.values()]
    tiny.write(own_root, 'panoptic_train2017', content)

    found = samples(own_root, **{**NO_FILES, **PANOPTIC})
    assert set(np.unique(found[tiny.PLAIN]['gt_seg_map'])) == {0, 2, 255}
    lines = [text for text in log if 'lacks 2 classes' in text]
    assert len(lines) == 1 and 'grass-merged, sky-other-merged' in lines[0]

    dataset = COCOMultiTaskDataset(**tiny.config(own_root, **{**NO_FILES, **PANOPTIC}, metainfo='file'))
    grass = 80 + dataset.metainfo['stuff_classes'].index('grass-merged')
    assert dataset.metainfo['stuff_ids'][grass - 80] == 193
    with_all = samples(own_root, **{**NO_FILES, **PANOPTIC}, metainfo='file')[tiny.PLAIN]['gt_seg_map']
    assert (with_all == grass).sum() > 100 and len(np.unique(with_all)) == 5


@pytest.mark.parametrize(
    ('overrides', 'error', 'message'),
    [
        ({**PANOPTIC, 'stuff_file': 'annotations/stuff_train2017.json'}, ValueError, 'both say what is stuff'),
        ({**PANOPTIC, 'data_prefix': {'img': 'train2017'}}, ValueError, r"needs data_prefix\['panoptic'\]"),
        ({'stuff_file': 'annotations/nothing.json'}, FileNotFoundError, r'nothing\.json does not exist'),
        ({'seg_map_values': 'raw'}, ValueError, "seg_map_values='raw' must be one of"),
    ],
)
def test_contradictory_arguments(tiny_root, overrides, error, message):
    with pytest.raises(error, match=message):
        COCOMultiTaskDataset(**tiny.config(tiny_root, **overrides))


def test_files_that_disagree_are_found(own_root):
    content = tiny.read(own_root, 'stuff_train2017')
    content['images'][0]['width'] += 1
    for ann in content['annotations']:
        ann['segmentation'] = None
    tiny.write(own_root, 'stuff_train2017', content)
    with pytest.raises(ValueError, match=r'stuff_train2017\.json: image 11 has width 97, but 96 in'):
        COCOMultiTaskDataset(**tiny.config(own_root, **STUFF))
    content['images'][0]['width'] -= 1
    content['annotations'][0]['category_id'] = 999
    tiny.write(own_root, 'stuff_train2017', content)
    with pytest.raises(ValueError, match='category id 999 is not among the stuff_ids'):
        COCOMultiTaskDataset(**tiny.config(own_root, **STUFF))


def test_broken_panoptic_maps(own_root, log):
    folder = own_root / 'annotations/panoptic_train2017'
    shutil.copy(folder / f'{tiny.PLAIN:012d}.png', folder / f'{tiny.PARTS:012d}.png')
    with pytest.raises(ValueError, match=f'{tiny.PARTS:012d}.png .*image 12.*96 x 80 px'):
        COCOMultiTaskDataset(**tiny.config(own_root, **PANOPTIC))
    content = tiny.read(own_root, 'panoptic_train2017')
    content['annotations'][0]['segments_info'].pop()
    tiny.write(own_root, 'panoptic_train2017', content)
    dataset = COCOMultiTaskDataset(**tiny.config(own_root, **PANOPTIC, pipeline=tiny.LOAD, check='none'))
    for _ in range(3):
        assert dataset[0]['img_id'] not in (tiny.PLAIN, tiny.PARTS)
    assert any('image 11' in text and 'segment ids' in text for text in log)
