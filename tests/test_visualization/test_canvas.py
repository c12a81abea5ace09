import numpy as np
import pytest

from mmyolor_mtl.visualization import canvas


def test_wrapped_lines_fit_and_keep_all_words():
    font = canvas.load_font(16)
    text = 'A small brown dog sleeps beside a very large Donaudampfschifffahrtsgesellschaftskapitaensmuetze today'
    lines = canvas.wrap_text(text, font, 160)
    assert len(lines) > 4 and max(font.getlength(line) for line in lines) <= 160
    assert ''.join(lines).replace(' ', '') == text.replace(' ', '')
    assert canvas.wrap_text('', font, 160) == []
    assert canvas.wrap_text('abc', font, 1) == ['a', 'b', 'c']


def test_class_colors_continue_a_short_palette():
    colors = canvas.class_colors(40, [(1, 2, 3)])
    assert colors[0] == (1, 2, 3) and len(set(colors)) == 40
    assert canvas.class_colors(2, 'random') == canvas.class_colors(2)


def test_shades_of_a_colour_differ():
    assert len({canvas.shade((200, 60, 60), step) for step in range(7)}) == 7


@pytest.mark.parametrize(('background', 'text'), [((255, 255, 0), (0, 0, 0)), ((0, 0, 128), (255, 255, 255))])
def test_text_color_contrasts(background, text):
    assert canvas.text_color(background) == text


def test_blend_mask_changes_the_mask_only():
    image = np.full((10, 12, 3), 100, np.uint8)
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:7] = True
    canvas.blend_mask(image, mask, (200, 100, 0), 0.5)
    assert (image[mask] == (150, 100, 50)).all() and (image[~mask] == 100).all()
    canvas.blend_mask(image, np.zeros((10, 12), bool), (0, 0, 0), 1.0)
    assert (image[~mask] == 100).all()


def test_tags_avoid_each_other():
    image = np.full((120, 300, 3), 255, np.uint8)
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    box = (20, 40, 280, 100)
    out = canvas.draw_tags(image, [('label', color, box) for color in colors], canvas.load_font(14))
    areas = [(out == color).all(axis=2).sum() for color in colors]
    assert min(areas) > 0.75 * max(areas)


def test_texts_that_would_overlap_are_left_out():
    image = np.zeros((60, 200, 3), np.uint8)
    font = canvas.load_font(14)
    one = canvas.write_centred(image, [('grass', (100, 30))], font)
    two = canvas.write_centred(image, [('grass', (100, 30)), ('sky', (105, 32))], font)
    assert one.any() and np.array_equal(one, two)


def test_legend_wraps_and_counts_the_rest():
    font = canvas.load_font(14)
    entries = [(f'class {i}', (200, 10 * i, 0)) for i in range(20)]
    narrow, wide = canvas.legend(entries, 200, font), canvas.legend(entries, 800, font)
    assert narrow.shape[1] == 200 and narrow.shape[0] > wide.shape[0]
    assert canvas.legend(entries, 800, font, most=2).shape[0] < wide.shape[0]
    assert canvas.legend([], 200, font).shape == (0, 200, 3)


def test_region_borders_mark_changes_only():
    ids = np.zeros((6, 6), np.int64)
    ids[:, 3:] = 1000
    edge = canvas.region_borders(ids, 1)
    assert edge[:, 3].all() and edge.sum() == 6
