import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmyolor_mtl.evaluation.functional.length_groups import group_by_length


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(1, 7))
def test_groups_hold_every_caption_once_and_do_not_overlap(lengths, most):
    groups = group_by_length(np.array(lengths), {'double': 2.0 * np.array(lengths)}, most)
    assert 1 <= len(groups) <= most and sum(group['captions'] for group in groups) == len(lengths)
    assert all(a['longest'] < b['shortest'] for a, b in zip(groups, groups[1:], strict=False))
    total = sum(group['captions'] * group['double'] for group in groups)
    assert total == pytest.approx(2 * sum(lengths))


def test_groups_are_about_equally_large():
    groups = group_by_length(np.arange(100), {}, 4)
    assert [group['captions'] for group in groups] == pytest.approx([25] * 4, abs=1)
    assert group_by_length(np.zeros(0, int), {}) == []
