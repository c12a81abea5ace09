import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.datasets import COCO_METAINFO, semantic_lut
from mmyolor_mtl.datasets.label_space import FOREIGN, SEG_MAP_VALUES, UNLABELLED, check_classes, label_map


def test_coco_values_become_contiguous():
    lut = semantic_lut(COCO_METAINFO)
    assert lut[0] == 0 and lut[89] == 79  # person, toothbrush
    assert lut[91] == 80 and lut[181] == 170  # banner, wood
    assert lut[182] == 171  # other
    assert lut[255] == 255
    assert lut[11] == FOREIGN  # category id 12 is not in COCO
    assert len(np.unique(lut)) == 80 + 91 + 1 + 2


def test_without_extra_classes_the_next_id_is_foreign():
    lut = semantic_lut({'thing_ids': (1, 2), 'stuff_ids': (3,), 'extra_classes': ()})
    assert lut[:4].tolist() == [0, 1, 2, FOREIGN]


def test_numbers_of_the_metainfo_are_those_of_the_files():
    labels = label_map(COCO_METAINFO)
    assert labels.things[90] == 79 and labels.pixels[182] == 170 and labels.dropped == ()
    assert len(labels.thing_ids) == 80 and 92 not in labels.things
    assert (labels.lut == semantic_lut(COCO_METAINFO)).all()


NAMES = ['ant', 'bee', 'cat', 'dog', 'elm', 'fir']


@given(
    own=st.permutations(NAMES[:5]),
    theirs=st.permutations(NAMES),
    things=st.integers(0, 6),
    ids=st.lists(st.integers(1, 254), min_size=6, max_size=6, unique=True),
    values=st.sampled_from(SEG_MAP_VALUES),
)
def test_classes_are_found_by_name_in_any_order(own, theirs, things, ids, values):
    meta = {'classes': own[:3], 'thing_ids': [1, 2, 3], 'stuff_classes': own[3:], 'stuff_ids': [4, 5]}
    files = {
        'classes': theirs[:things],
        'thing_ids': ids[:things],
        'stuff_classes': theirs[things:],
        'stuff_ids': ids[things:],
    }
    labels = label_map(meta, files, values)
    assert labels.dropped == ('fir',)
    for position, (name, category) in enumerate(zip(theirs, ids, strict=True)):
        label = own.index(name) if name in own else UNLABELLED
        assert labels.pixels[category] == label
        is_target = position < things and label < 3
        assert labels.things.get(category) == (label if is_target else None)
        value = {'category_id_minus_1': category - 1, 'category_id': category, 'contiguous': position}[values]
        assert labels.lut[value] == label
    assert labels.lut[255] == UNLABELLED and (labels.lut != FOREIGN).sum() == 7 + (values == 'category_id')


def test_ids_beyond_eight_bits_have_no_value_in_a_map():
    meta = {'classes': ('ant',), 'thing_ids': (1,), 'stuff_classes': (), 'stuff_ids': ()}
    files = {'classes': ('bee', 'ant'), 'thing_ids': (0, 1200), 'stuff_classes': (), 'stuff_ids': ()}
    labels = label_map(meta, files)
    assert labels.things == {1200: 0} and set(labels.lut[:255]) == {FOREIGN}
    assert label_map(meta, files, 'contiguous').lut[:3].tolist() == [255, 0, FOREIGN]


def test_more_classes_than_a_map_can_tell_apart():
    meta = {'classes': tuple(map(str, range(254))), 'thing_ids': range(1, 255), 'stuff_classes': (), 'stuff_ids': ()}
    check_classes(meta)
    with pytest.raises(ValueError, match='254 classes and its extra_classes: more than 254'):
        check_classes({**meta, 'extra_classes': ('other',)})
