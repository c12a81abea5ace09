from mmyolor_mtl.datasets import COCO_METAINFO, SHAPES_METAINFO
from mmyolor_mtl.datasets.coco_classes import stuff_colours, thing_colours


def test_counts_and_ids():
    meta = COCO_METAINFO
    assert len(meta['classes']) == len(meta['thing_ids']) == len(meta['palette']) == 80
    assert len(meta['stuff_classes']) == len(meta['stuff_ids']) == len(meta['stuff_palette']) == 91
    assert meta['extra_classes'] == ('other', 'unlabeled')
    assert dict(zip(meta['thing_ids'], meta['classes'], strict=True))[90] == 'toothbrush'
    stuff = dict(zip(meta['stuff_ids'], meta['stuff_classes'], strict=True))
    assert (stuff[92], stuff[141], stuff[182]) == ('banner', 'pillow', 'wood')
    assert len(set(meta['stuff_palette'])) == 91


def test_panoptic_merges_follow_the_spec():
    merges = COCO_METAINFO['panoptic_stuff']
    assert set(merges) == set(range(92, 183))
    assert sum(target == source for source, target in merges.items()) == 36
    assert {target for target in merges.values() if target > 182} == set(range(184, 201))
    assert [i for i, target in merges.items() if target == 0] == [
        104,
        105,
        123,
        126,
        132,
        142,
        143,
        160,
        164,
        167,
        179,
        182,
    ]
    assert (merges[169], merges[157], merges[172]) == (184, 187, 199)


def test_both_data_sets_have_the_same_keys():
    assert set(COCO_METAINFO) == set(SHAPES_METAINFO)


def test_colours_can_be_told_apart():
    for colours in (thing_colours(80), stuff_colours(91)):
        assert len(set(colours)) == len(colours)
        assert all(0 <= value <= 255 for colour in colours for value in colour)
    assert thing_colours(0) == []
