from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmyolor_mtl.apis.images import LoadedImage
from mmyolor_mtl.apis.sources import VideoSource, count_images, list_sources, read_images


@pytest.fixture
def folder(tmp_path):
    for name in ('b.png', 'a.jpg', 'deep/er/c.PNG', 'odd.jpg/d.png'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (8, 6)).save(path)
    (tmp_path / 'images' / 'notes.txt').write_text('no image')
    return tmp_path / 'images'


@pytest.fixture
def video(tmp_path):
    """Twelve frames; the brightness of each is twenty times its number."""
    return write_video(tmp_path / 'clip.avi')


def write_video(path, frames=12):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 10, (64, 48))
    for i in range(frames):
        writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
    writer.release()
    return path


def break_frame(path, number):
    """Wipe out one picture of an MJPG file."""
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data) - 2) if data[i : i + 3] == b'\xff\xd8\xff']
    begin, end = starts[number], starts[number + 1] - 8
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)


def names(sources):
    return [Path(source).name for source in sources]


def test_folders_and_patterns(folder):
    assert names(list_sources(folder)) == names(list_sources(f'{folder}/*')) == ['a.jpg', 'b.png']
    assert names(list_sources(f'{folder}/**/*.*')) == ['a.jpg', 'b.png', 'c.PNG', 'd.png']
    assert names(list_sources(f'{folder}/[b]*')) == ['b.png']
    assert names(list_sources(folder / 'odd.jpg')) == ['d.png']


def test_names_with_signs_of_patterns(folder):
    (folder / 'a.jpg').rename(folder / 'a[1].jpg')
    assert names(list_sources(folder / 'a[1].jpg')) == ['a[1].jpg']


def test_lists_mix_everything(folder, video):
    array, picture = np.zeros((5, 5, 3), np.uint8), Image.new('RGB', (3, 3))
    mixed = [folder, array, folder / 'none.jpg', picture, video, 'http://h/x.jpg', None, folder / 'deep', 0]
    sources = list_sources(mixed)
    kinds = [np.ndarray, LoadedImage, Image.Image, VideoSource, str, LoadedImage, LoadedImage, VideoSource]
    assert [type(source) for source in sources[2:]] == kinds
    assert 'does not exist' in sources[3].error and 'no input' in sources[7].error and 'holds no im' in sources[8].error
    assert count_images(sources) == float('inf') and count_images(sources[:-1]) == 8 + 12
    read = list(read_images(sources[:6]))
    assert len(read) == 5 + 12 and [image.name for image in read[2:5:2]] == ['array 2', 'image 4']


def test_iterators_are_read_one_at_a_time(folder):
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield folder / 'a.jpg'

    sources = list_sources(endless())
    assert count_images(sources) is None
    images = read_images(sources)
    assert next(images).pixels.shape == next(images).pixels.shape == (6, 8, 3) and len(asked) == 2


@pytest.mark.parametrize(
    ('inputs', 'error', 'message'),
    [
        ('nowhere.jpg', FileNotFoundError, 'nowhere.jpg does not exist: give an image'),
        ('no/*.jpg', FileNotFoundError, r'pattern no/\*.jpg holds no image'),
        ('deep', FileNotFoundError, 'folder deep holds no image'),
        ([], FileNotFoundError, 'list of images is empty'),
        (None, TypeError, 'a NoneType is no input'),
        (True, TypeError, 'a bool is no input'),
        (3.5, TypeError, 'a float is no input'),
        (-1, ValueError, 'counted from 0'),
    ],
)
def test_a_lone_input_that_is_none_is_an_error(folder, monkeypatch, inputs, error, message):
    monkeypatch.chdir(folder)
    with pytest.raises(error, match=message):
        list_sources(inputs)


def test_frames(video):
    source = VideoSource(video)
    frames = list(source)
    assert (len(source), source.fps, source.is_live) == (12, 10, False)
    assert [round(image.pixels.mean() / 20) for image in frames] == [image.frame for image in frames] == [*range(12)]
    assert frames[3].name == f'{video}#3'
    assert [image.frame for image in VideoSource(video, stride=5)] == [0, 5, 10]
    assert [image.frame for image in VideoSource(video, stride=2, max_frames=3)] == [0, 2, 4]
    assert (len(VideoSource(video, stride=5)), len(VideoSource(video, stride=2, max_frames=3))) == (3, 3)


def test_a_broken_frame_does_not_end_a_video(video):
    break_frame(video, 4)
    frames = list(VideoSource(video))
    assert [image.frame for image in frames] == [*range(12)]
    assert [image.frame for image in frames if image.error] == [4] and 'cannot decode frame 4' in frames[4].error
    assert not any(image.error for image in VideoSource(video, stride=3))


def test_videos_that_cannot_be_opened(tmp_path):
    (tmp_path / 'text.mp4').write_text('no video')
    for source, message in ((tmp_path / 'text.mp4', 'not a video'), (tmp_path / 'none.mp4', 'no such file')):
        (image,) = VideoSource(source)
        assert isinstance(image, LoadedImage) and message in image.error and str(source) in image.error
    (image,) = VideoSource(77)
    assert 'camera 77: there is no such camera' in image.error and VideoSource(77).is_live
    assert VideoSource('rtsp://host/stream').is_live and len(VideoSource(77)) == 0


def test_settings_of_videos():
    for wrong in (dict(stride=0), dict(max_frames=0)):
        with pytest.raises(ValueError, match='must be at least 1'):
            VideoSource('x.mp4', **wrong)
