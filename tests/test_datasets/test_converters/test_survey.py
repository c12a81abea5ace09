"""What is there of COCO, and what is wrong with somebody's data, part by part."""

import pytest

from mmyolor_mtl.datasets.converters import Findings
from mmyolor_mtl.datasets.converters.coco_survey import Item, survey

from .coco_zips import build_source


def test_every_part_is_named_with_what_it_lacks(tmp_path):
    items = {item.name: item for item in survey(tmp_path)}
    assert items['annotations/instances_train2017.json'] == Item(
        'annotations/instances_train2017.json', False, 'not there', ('annotations_trainval2017.zip',)
    )
    assert items['train2017/'].archives == ('train2017.zip',)
    assert len(items['stuffthingmaps/val2017/'].archives) == 2  # either will do
    assert not any(item.ok for item in items.values())


def test_a_part_of_coco_is_usable_where_it_is_asked_for(tmp_path):
    build_source(tmp_path)
    whole, part = ({item.name: item for item in survey(tmp_path, partial)} for partial in (False, True))
    assert whole.keys() == part.keys()
    assert not whole['train2017/'].ok and part['train2017/'].ok
    assert '118,287' in whole['annotations/instances_train2017.json'].note
    assert [name for name, item in part.items() if not item.ok] == ['annotations/vocab.txt']


def test_findings_are_raised_together_with_advice():
    findings = Findings()
    findings.raise_if_any('nothing to do')
    for line in range(25):
        findings.add(f'labels.txt:{line}', 'is no number')
    assert findings.report(limit=1) == '  labels.txt:0: is no number\n  ... and 24 more'
    with pytest.raises(
        ValueError, match=r'(?s)25 problem\(s\).*labels.txt:19: .*\.\.\. and 5 more\nmend them'
    ) as caught:
        findings.raise_if_any('mend them')
    assert 'labels.txt:20' not in str(caught.value)
