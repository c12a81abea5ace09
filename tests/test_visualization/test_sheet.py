import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.visualization.sheet import Sheet, _count, panel_size
from mmyolor_mtl.visualization.style import Style
from mmyolor_mtl.visualization.views import Objects, View

SIDES = st.integers(1, 20_000)
STYLE = Style(dict(classes=('cat',), stuff_classes=('grass', 'sky')))


@given(SIDES, SIDES)
@settings(max_examples=300)
def test_panels_are_large_enough_and_bounded(height, width):
    shown = panel_size(height, width)
    long, short = max(shown), min(shown)
    assert short >= 1 and (480 <= long <= 1024 or long <= 3072 and short <= 160)
    assert (long == shown[0]) == (height >= width) or height == width or shown[0] == shown[1]
    # The shape stays, as far as whole pixels allow.
    assert abs(short - min(height, width) * long / max(height, width)) <= 1


@pytest.mark.parametrize(
    ('size', 'shown'),
    [
        ((480, 640), (480, 640)),
        ((1, 1), (480, 480)),
        ((192, 192), (576, 576)),
        ((4000, 6000), (683, 1024)),
        ((400, 12_000), (102, 3072)),
        ((300, 3000), (160, 1600)),
        ((900, 30), (2700, 90)),
    ],
)
def test_sizes_of_panels(size, shown):
    assert panel_size(*size) == shown


def test_the_legend_names_what_is_there_however_small():
    ids = np.full((2400, 3000), 1)
    ids[1234, 567] = 2
    _, note, entries = Sheet(STYLE, np.zeros((2400, 3000, 3), np.uint8), 0.0)._semantic(ids, None)
    assert [name for name, _ in entries] == ['grass 100%', 'sky <1%'] and note == '2 classes'


def test_where_labels_have_no_room_the_legend_says_what_is_what():
    number = 300
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 400, (number, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 80, (number, 2))], axis=1)
    view = View('Prediction', Objects(boxes, np.zeros(number, int), np.linspace(0.3, 1, number)))
    _, note, entries = Sheet(STYLE, np.zeros((480, 480, 3), np.uint8), 0.3)._objects(view)
    assert [name for name, _ in entries] == ['cat × 300']
    assert 0 < int(note.split(', ')[2].split()[0]) < number and note.startswith('300 objects, score ≥ 0.3')
    few = View('Prediction', Objects(boxes[:2], np.zeros(2, int), np.ones(2)))
    assert Sheet(STYLE, np.zeros((480, 480, 3), np.uint8), 0.3)._objects(few)[1:] == ('2 objects, score ≥ 0.3', [])


@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_ids_are_counted(seed, height, width):
    ids = np.random.default_rng(seed).integers(0, 3000, (height, width))
    assert np.array_equal(_count(ids), np.bincount(ids.ravel()))
    assert _count(np.ones((700, 1900), np.uint8)).tolist() == [0, 700 * 1900]  # in more than one piece
