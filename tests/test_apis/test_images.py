import io
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mmyolor_mtl.apis.images import LoadedImage, decode_image, from_pillow, load_image

RGB = np.full((48, 64, 3), 60, np.uint8)
RGB[20:32, 10:30] = (250, 120, 10)
SCENE = Image.fromarray(RGB)
RED, GREY = np.array([10, 120, 250]), np.array([60, 60, 60])  # BGR


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def sixteen_bits(suffix):
    return cv2.imencode(suffix, RGB[..., ::-1].astype(np.uint16) * 257)[1].tobytes()


COLOUR = {
    'png': encode(SCENE, 'PNG'),
    'alpha': encode(SCENE.convert('RGBA'), 'PNG'),
    'cmyk jpeg': encode(SCENE.convert('CMYK'), 'JPEG', quality=98),
    'cmyk tiff': encode(SCENE.convert('CMYK'), 'TIFF'),
    '16 bit png': sixteen_bits('.png'),
    '16 bit tiff': sixteen_bits('.tiff'),
    'palette': encode(SCENE.convert('P', palette=Image.Palette.ADAPTIVE), 'PNG'),
    'palette with transparency': encode(SCENE.convert('P', palette=Image.Palette.ADAPTIVE), 'PNG', transparency=0),
    'gif': encode(SCENE.convert('P', palette=Image.Palette.ADAPTIVE), 'GIF'),
    'animated gif': encode(SCENE, 'GIF', save_all=True, append_images=[ImageOps.invert(SCENE)] * 2),
    'animated png': encode(SCENE, 'PNG', save_all=True, append_images=[ImageOps.invert(SCENE)]),
    'animated webp': encode(SCENE, 'WEBP', save_all=True, append_images=[ImageOps.invert(SCENE)], lossless=True),
    'webp': encode(SCENE, 'WEBP', lossless=True),
    'bmp': encode(SCENE, 'BMP'),
    'tga, which OpenCV lacks': encode(SCENE, 'TGA'),
}


@pytest.mark.parametrize('kind', COLOUR)
def test_colour_pictures_of_every_kind(kind):
    pixels = decode_image(COLOUR[kind])
    assert pixels.shape == (48, 64, 3) and pixels.dtype == np.uint8 and pixels.flags['C_CONTIGUOUS']
    # Away from the edge, which lossy formats blur; the palette of a GIF may be coarse.
    assert np.abs(pixels[26, 20].astype(int) - RED).max() <= 8 and np.abs(pixels[5, 5].astype(int) - GREY).max() <= 8


@pytest.mark.parametrize('mode', ['L', 'LA', '1', 'I;16'])
def test_grey_pictures(mode):
    grey = SCENE.convert('L')
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == 'I;16' else SCENE.convert(mode)
    pixels = decode_image(encode(image, 'PNG'))
    assert pixels.shape == (48, 64, 3) and (pixels[..., :1] == pixels).all()
    if mode != '1':
        assert np.abs(pixels[..., 0].astype(int) - np.asarray(grey)).max() <= 1
        assert np.array_equal(from_pillow(image), pixels)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_turns_pictures_upright(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(SCENE, kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert('RGB'))[..., ::-1]
        assert np.array_equal(from_pillow(image), upright)
    assert upright.shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))
    assert np.array_equal(decode_image(data), upright)


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))
FILES = {kind: encode(NOISE, kind) for kind in ('JPEG', 'PNG', 'WEBP')}


@pytest.mark.parametrize('kind', FILES)
@pytest.mark.parametrize('share', [0.02, 0.5, 0.99])
def test_files_without_their_end_are_refused(kind, share):
    with pytest.raises(OSError):
        decode_image(FILES[kind][: int(len(FILES[kind]) * share)])


def test_what_stands_behind_a_jpeg_does_no_harm():
    clip = FILES['JPEG'] + bytes(10_000)  # as phones append a short video
    assert np.array_equal(decode_image(clip), decode_image(FILES['JPEG']))


@given(data=st.binary(max_size=300), kind=st.sampled_from([*FILES, '']), share=st.floats(0, 1), at=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_damaged_files_give_pixels_or_an_error(tmp_path_factory, data, kind, share, at):
    content = FILES.get(kind, b'')
    place = int(at * len(content))
    path = tmp_path_factory.getbasetemp() / 'damaged.jpg'
    path.write_bytes((content[:place] + data + content[place + len(data) :])[: int(share * len(content)) or None])
    image = load_image(path, 0)
    assert (image.pixels is None) == (image.error is not None)
    assert image.error is None or 'damaged.jpg' in image.error


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'the file is empty'),
        (b'just words ' * 50, 'not an image, or damaged'),
        (
            encode(Image.fromarray(RGB[..., 0].astype(np.float32)), 'TIFF'),
            'no fixed range: convert the image to 8 bits',
        ),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, content, message):
    path = tmp_path / 'x.jpg'
    path.write_bytes(content)
    image = load_image(path, 0)
    assert image.pixels is None and message in image.error and str(path) in image.error


def test_missing_files_and_folders(tmp_path):
    assert load_image(tmp_path / 'none.jpg', 0).error.endswith('No such file or directory')
    (tmp_path / 'folder.jpg').mkdir()
    assert load_image(tmp_path / 'folder.jpg', 0).error.endswith('Is a directory')


def test_arrays():
    bgr = np.ascontiguousarray(RGB[..., ::-1])
    assert np.array_equal(load_image(bgr, 3).pixels, bgr) and load_image(bgr, 3).name == 'array 3'
    assert np.array_equal(load_image(np.dstack([bgr, bgr[..., :1]]), 0).pixels, bgr)
    for grey in (bgr[..., 0], bgr[..., :1]):
        assert np.array_equal(load_image(grey, 0).pixels, np.repeat(bgr[..., :1], 3, axis=2))
    assert np.array_equal(load_image(bgr[:, ::-1], 0).pixels, bgr[:, ::-1])
    assert np.array_equal(load_image(SCENE, 2).pixels, bgr) and load_image(SCENE, 2).name == 'image 2'


@pytest.mark.parametrize(
    'array',
    [
        np.full((4, 4, 3), np.nan),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4, 3), bool),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros(5, np.uint8),
        np.array(['a']),
    ],
)
def test_arrays_that_are_no_pictures(array):
    image = load_image(array, 7)
    assert image.pixels is None and 'array 7' in image.error and 'give uint8 as BGR (H,W,3)' in image.error


@pytest.fixture
def server(tmp_path):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with HTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(tmp_path))) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{httpd.server_port}'
        httpd.shutdown()


def test_web_addresses(server, tmp_path):
    (tmp_path / 'a b.png').write_bytes(COLOUR['png'])
    image = load_image(f'{server}/a%20b.png?size=large', 0)
    assert image.error is None and image.pixels.shape == (48, 64, 3) and image.stem == 'a_b'
    assert '404' in load_image(f'{server}/none.png', 0).error
    host = server.rpartition(':')[0]
    assert 'refused' in load_image(f'{host}:9/x.png', 0).error
    assert load_image('http://no such host/x.png', 0).error and load_image('nonsense://x.png', 0).error


@pytest.mark.parametrize(
    ('image', 'stem'),
    [
        (LoadedImage('photos/my street.tar.jpg'), 'my_street.tar'),
        (LoadedImage('a#b.jpg'), 'a#b'),
        (LoadedImage('clips/a.mp4#7', frame=7), 'a_000007'),
        (LoadedImage('camera 0#12', frame=12), 'camera_0_000012'),
        (LoadedImage('rtsp://host/yard#3', frame=3), 'yard_000003'),
        (LoadedImage('http://host/'), 'image'),
    ],
)
def test_names_of_files_made_of_pictures(image, stem):
    assert image.stem == stem
