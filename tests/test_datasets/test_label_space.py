import numpy as np

from mmyolor_mtl.datasets import COCO_METAINFO, semantic_lut
from mmyolor_mtl.datasets.label_space import FOREIGN


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
