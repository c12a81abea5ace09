"""What the inferencer can be asked about: files, folders, patterns, URLs, arrays, videos and cameras."""

import glob
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import cv2
import numpy as np
from PIL import Image

from .images import LoadedImage, load_image

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.ppm', '.pgm', '.gif')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv')
LIVE_SCHEMES = ('rtsp', 'rtmp', 'rtp', 'udp')
# So many frames in a row that cannot be decoded end a video.
_MAX_BROKEN = 100


@dataclass
class VideoSource:
    """Frames of a video file, a network stream or a camera.

    OpenCV's capture rather than mmcv's ``VideoReader``, which has no cameras and ends at the first broken frame.

    Attributes:
        video (str | Path | int): File or URL, or number of a camera.
        stride (int): Take every ``stride``-th frame; those between are not decoded.
        max_frames (int | None): Take at most so many.

    Raises:
        ValueError: ``stride`` or ``max_frames`` is below 1, or the number of the camera below 0.
    """

    video: str | Path | int
    stride: int = 1
    max_frames: int | None = None

    def __post_init__(self) -> None:
        if self.stride < 1 or (self.max_frames is not None and self.max_frames < 1):
            raise ValueError(f'stride={self.stride} and max_frames={self.max_frames} must be at least 1')
        if isinstance(self.video, int) and self.video < 0:
            raise ValueError(f'camera {self.video}: cameras are counted from 0')

    @property
    def is_live(self) -> bool:
        """Whether it goes on until somebody ends it."""
        return isinstance(self.video, int) or urlparse(str(self.video)).scheme in LIVE_SCHEMES

    @property
    def name(self) -> str:
        """As errors call it."""
        return f'camera {self.video}' if isinstance(self.video, int) else str(self.video)

    @property
    def fps(self) -> float:
        """Frames a second as recorded, 0 where unknown or the video cannot be opened."""
        return max(self._property(cv2.CAP_PROP_FPS), 0.0)

    def __len__(self) -> int:
        """Frames to expect by the file's header, which may err; 0 where unknown."""
        frames = 0 if self.is_live else max(int(self._property(cv2.CAP_PROP_FRAME_COUNT)), 0)
        taken = -(-frames // self.stride)
        return taken if self.max_frames is None else min(taken, self.max_frames)

    def __iter__(self) -> Iterator[LoadedImage]:
        """The frames; one that cannot be decoded has ``error`` set, as has the only one of what cannot be opened."""
        capture = self._open()
        try:
            if not capture.isOpened():
                yield LoadedImage(self.name, error=f'cannot read {self.name}: {self._why_closed()}')
                return
            for count, image in enumerate(self._frames(capture), start=1):
                yield image
                if count == self.max_frames:
                    return
        finally:
            capture.release()

    def _frames(self, capture: Any) -> Iterator[LoadedImage]:
        broken: list[LoadedImage] = []
        index = 0
        while len(broken) < _MAX_BROKEN:
            wanted = index % self.stride == 0
            found = capture.grab()
            found, pixels = capture.retrieve() if found and wanted else (found, None)
            name = f'{self.name}#{index}'
            if not found:
                broken.append(LoadedImage(name, error=f'cannot decode frame {index} of {self.name}', frame=index))
            elif wanted:
                # The end of a video looks like a broken frame: only what has a frame behind it was one.
                yield from (image for image in broken if image.frame is not None and image.frame % self.stride == 0)
                broken.clear()
                yield LoadedImage(name, pixels, frame=index)
            index += 1

    def _open(self) -> Any:
        return cv2.VideoCapture(self.video if isinstance(self.video, int) else str(self.video))

    def _property(self, key: int) -> float:
        capture = self._open()
        try:
            return capture.get(key) if capture.isOpened() else 0.0
        finally:
            capture.release()

    def _why_closed(self) -> str:
        if isinstance(self.video, int):
            return 'there is no such camera, or another program holds it'
        if '://' in str(self.video) or Path(self.video).is_file():
            return 'not a video that OpenCV can decode'
        return 'no such file'


Input = str | Path | int | np.ndarray | Image.Image | VideoSource


def list_sources(inputs: Input | Iterable[Input]) -> Iterable[Any]:
    """Resolve folders and patterns.

    Args:
        inputs: File, folder, pattern (``**`` reaches into folders), URL, number of a camera, BGR array, Pillow image,
            :class:`VideoSource`, a list that mixes these, or an iterator of them.

    Returns:
        Iterable: Single pictures and :class:`VideoSource`. In a list, what does not exist stands as a ``LoadedImage``
        with an error.

    Raises:
        FileNotFoundError: The only thing given does not exist, or is a folder or pattern without images, or the list
            is empty.
        TypeError: The only thing given is no kind of input.
    """
    if isinstance(inputs, list | tuple):
        if not inputs:
            raise FileNotFoundError('the list of images is empty')
        return [source for item in inputs for source in _resolve_or_say(item)]
    if isinstance(inputs, Iterator):
        return (source for item in inputs for source in _resolve_or_say(item))
    return _resolve(inputs)


def count_images(sources: Iterable[Any]) -> float | None:
    """How many pictures to expect: None if that cannot be known, infinity with a camera that nothing limits."""
    if not isinstance(sources, list):
        return None
    videos = [source for source in sources if isinstance(source, VideoSource)]
    if any(video.is_live and video.max_frames is None for video in videos):
        return math.inf
    lengths = [len(video) for video in videos]
    return len(sources) - len(videos) + sum(lengths) if all(lengths) else None


def read_images(sources: Iterable[Any]) -> Iterator[LoadedImage]:
    """Load what :func:`list_sources` found, one picture at a time."""
    number = 0
    for source in sources:
        if isinstance(source, VideoSource):
            images: Iterable[LoadedImage] = source
        else:
            images = [source if isinstance(source, LoadedImage) else load_image(source, number)]
        for image in images:
            yield image
            number += 1


def _resolve_or_say(item: Any) -> list[Any]:
    try:
        return _resolve(item)
    except (OSError, TypeError, ValueError) as error:
        return [LoadedImage(str(item), error=str(error))]


def _resolve(item: Any) -> list[Any]:
    if isinstance(item, np.ndarray | Image.Image | VideoSource):
        return [item]
    if isinstance(item, int) and not isinstance(item, bool):
        return [VideoSource(item)]
    if isinstance(item, str | Path):
        return _resolve_path(item)
    raise TypeError(
        f'a {type(item).__name__} is no input: give a file, folder, pattern, URL, camera number, BGR array or Pillow '
        'image, or a list of these'
    )


def _resolve_path(item: str | Path) -> list[Any]:
    text, path = str(item), Path(item)
    if '://' in text:
        parts = urlparse(text)
        is_video = parts.scheme in LIVE_SCHEMES or parts.path.lower().endswith(VIDEO_SUFFIXES)
        return [VideoSource(text) if is_video else text]
    if path.is_dir():
        return _pictures(path.iterdir(), f'folder {path}')
    if path.exists():
        return [VideoSource(path) if path.suffix.lower() in VIDEO_SUFFIXES else path]
    if glob.has_magic(text):
        return _pictures(map(Path, glob.iglob(text, recursive=True)), f'pattern {text}')
    raise FileNotFoundError(f'{path} does not exist: give an image, a video, a folder of images or a pattern')


def _pictures(paths: Iterable[Path], origin: str) -> list[Path]:
    files = [path for path in sorted(paths) if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    if not files:
        raise FileNotFoundError(f'{origin} holds no image ({", ".join(IMAGE_SUFFIXES)})')
    return files
