import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mmyolor_mtl.visualization import fonts
from mmyolor_mtl.visualization.fonts import Font, clean_text, load_font


def ink(font, text):
    image = Image.new('L', (400, 40))
    font.draw(ImageDraw.Draw(image), (4, 4), text, fill=255)
    return np.asarray(image)


@given(st.text(max_size=40), st.integers(20, 200))
@settings(max_examples=60, deadline=None)
def test_any_text_is_measured_fitted_and_drawn(text, width):
    font = load_font(14)
    cut = font.fit(text, width) if text else 0
    assert cut == 1 or font.getlength(text[:cut]) <= width
    assert font.getlength(font.shorten(text, width)) <= width or font.fit(text, width, '…') == 1
    ink(font, text)


def test_fit_takes_as_much_as_it_can():
    font = load_font(14)
    text = 'abcdefghij' * 30
    cut = font.fit(text, 100)
    assert font.getlength(text[:cut]) <= 100 < font.getlength(text[: cut + 1])
    assert font.fit('abc', 1000) == 3 and font.fit('abc', 0) == 1


def test_control_and_joining_characters_are_not_drawn():
    assert clean_text('a\nb\tc\x00d') == 'a b c d'
    assert clean_text('\u200d\ufe0fx') == 'x' and clean_text('\ud800') == '\ufffd'


def test_missing_characters_come_from_a_font_of_the_system(monkeypatch, tmp_path):
    """DejaVu Sans stands for the system's font: another font of matplotlib's lacks most of its characters."""
    folder = fonts.Path(fonts.matplotlib.get_data_path()) / 'fonts' / 'ttf'
    broken = tmp_path / 'broken.ttf'
    broken.write_bytes(b'no font')
    monkeypatch.setattr(fonts, '_system_fonts', lambda: [str(broken), str(folder / 'DejaVuSans.ttf')])
    fonts._font_with.cache_clear()
    small = Font(20)
    small._path = str(folder / 'cmr10.ttf')
    small._main = fonts._face(small._path, 20)
    runs = small._runs('a猫ж b')
    assert [(face.path == small._path, part) for face, part in runs] == [
        (True, 'a猫'),  # which neither has
        (False, 'ж'),
        (True, ' b'),
    ]
    assert np.array_equal(ink(small, 'ж')[:, :40] > 0, ink_of(folder / 'DejaVuSans.ttf', 'ж', small)[:, :40] > 0)
    fonts._font_with.cache_clear()


def ink_of(path, text, like):
    image = Image.new('L', (400, 40))
    face = fonts._face(str(path), like.size)
    ImageDraw.Draw(image).text((4, 4 + like._ascent), text, font=face, fill=255, anchor='ls')
    return np.asarray(image)


@pytest.mark.skipif(fonts._font_with('猫') is None, reason='needs a font with Chinese characters on the system')
def test_chinese_characters_are_no_boxes():
    font = load_font(20)
    assert not np.array_equal(ink(font, '猫'), ink(font, '草')) and ink(font, '猫').any()
