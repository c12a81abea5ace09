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
    canvas.blend_mask(image, mask[2:, 3:], (3, 2), (200, 100, 0), 0.5)
    assert (image[mask] == (150, 100, 50)).all() and (image[~mask] == 100).all()
    canvas.blend_mask(image, np.zeros((0, 0), bool), (0, 0), (0, 0, 0), 1.0)
    assert (image[~mask] == 100).all()


def test_windows_that_reach_beyond_the_image_are_cut():
    image = np.full((10, 12, 3), 100, np.uint8)
    canvas.blend_mask(image, np.ones((6, 6), bool), (8, 7), (0, 0, 0), 1.0)
    assert (image[7:, 8:] == 0).all() and (image == 0).all(axis=2).sum() == 3 * 4


def test_tags_avoid_each_other():
    image = np.full((120, 300, 3), 255, np.uint8)
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    box = (20, 40, 280, 100)
    out, left_out = canvas.draw_tags(image, [('label', color, box) for color in colors], canvas.load_font(14))
    areas = [(out == color).all(axis=2).sum() for color in colors]
    assert min(areas) > 0.75 * max(areas) and not left_out


def test_tags_without_room_are_left_out_and_named():
    image = np.full((40, 70, 3), 255, np.uint8)
    tags = [('label', (250 - i, 0, 0), (10, 10, 60, 30)) for i in range(12)]
    out, left_out = canvas.draw_tags(image, tags, canvas.load_font(14))
    drawn = [i for i, (_, color, _) in enumerate(tags) if (out == color).all(axis=2).any()]
    assert drawn and left_out and sorted(drawn + left_out) == list(range(12)) and 0 in drawn


def test_a_tag_wider_than_the_image_is_shortened():
    image = np.full((40, 90, 3), 255, np.uint8)
    out, left_out = canvas.draw_tags(image, [('w' * 400, (250, 0, 0), (0, 0, 90, 40))], canvas.load_font(14))
    assert out.shape == image.shape and not left_out and (out == (250, 0, 0)).all(axis=2).any()


def test_paragraphs_are_cut_off_at_some_height():
    short = canvas.text_strip([('word ' * 10, False)], 300, 14, (0, 0, 0))
    long = canvas.text_strip([('word ' * 5000, False)], 300, 14, (0, 0, 0))
    longer = canvas.text_strip([('x' * 50_000, False)], 300, 14, (0, 0, 0))
    assert short.shape[0] < long.shape[0] == longer.shape[0] < 1200


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
