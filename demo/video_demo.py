"""What a trained network sees in a video or before a camera: an annotated video, a window, results as JSON lines.

Example:
    python demo/video_demo.py street.mp4 CHECKPOINT.pth --out street_seen.mp4 --json street.jsonl
    python demo/video_demo.py 0 CHECKPOINT.pth --show --draw-fps          # camera 0, until q or Ctrl-C
"""

import argparse
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np

from mmyolor_mtl.apis import VideoSource
from mmyolor_mtl.apis.command_line import add_model_arguments, build_inferencer, check_model_arguments
from mmyolor_mtl.visualization.mtl_visualizer import PANELS

CODECS = {'.mp4': ('mp4v', 'avc1'), '.avi': ('MJPG', 'XVID'), '.mkv': ('mp4v', 'MJPG'), '.mov': ('mp4v', 'avc1')}
PAPER = 250
# Captions and legends get longer and shorter, the frames of a video do not: so much more than the first one needs.
SPARE = 1.1


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Detect, mask, label pixels and describe in videos and live.')
    parser.add_argument('video', metavar='VIDEO|CAMERA', help='file, stream (rtsp://...), or number of a camera')
    add_model_arguments(parser)
    parser.add_argument('--out', type=Path, help=f'annotated video to write ({", ".join(CODECS)})')
    parser.add_argument('--json', type=Path, help='results to write, one line of JSON a frame')
    parser.add_argument('--show', action='store_true', help='show it in a window, until q is pressed')
    parser.add_argument('--panels', nargs='+', choices=PANELS, default=['objects', 'caption'], help='what is drawn')
    parser.add_argument('--draw-fps', action='store_true', help='write the frames a second into the picture')
    parser.add_argument('--stride', type=int, default=1, help='take every n-th frame (%(default)s)')
    parser.add_argument('--max-frames', type=int, help='stop after so many')
    parser.add_argument(
        '--fps', type=float, help="frames a second of --out (default: the video's speed, 25 if unknown)"
    )
    args = parser.parse_args(argv)
    check_model_arguments(parser, args)
    if args.out is None and args.json is None and not args.show:
        parser.error('give --out, --json or --show: else nothing is kept or shown')
    if args.out is not None and args.out.suffix.lower() not in CODECS:
        parser.error(f'--out {args.out} must end in one of {", ".join(CODECS)}')
    if args.fps is not None and args.fps <= 0:
        parser.error(f'--fps {args.fps} must be above 0')
    return args


class VideoFile:
    """A video that appears when it is finished; its size is that of the first picture, with some room below."""

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self.draft = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
        self.size = (0, 0)  # width, height
        self._writer: Any = None
        self._last: np.ndarray | None = None

    def write(self, picture: np.ndarray | None) -> None:
        """Append a picture, BGR uint8 (h,w,3); None repeats the last one."""
        if picture is not None:
            if self._writer is None:
                self._open(picture.shape[1], round(picture.shape[0] * SPARE))
            self._last = fit(picture, self.size)
        if self._last is not None:
            self._writer.write(self._last)

    def _open(self, width: int, height: int) -> None:
        self.size = (width + width % 2, height + height % 2)  # codecs want even sides
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for codec in CODECS[self.path.suffix.lower()]:
            fourcc = cv2.VideoWriter.fourcc(*codec)
            self._writer = cv2.VideoWriter(str(self.draft), fourcc, self.fps, self.size)
            if self._writer.isOpened():
                return
        raise OSError(f'{self.path}: OpenCV has no codec for such files here; try a name that ends in .avi')

    def close(self, keep: bool) -> None:
        """Finish the video, or throw it away."""
        if self._writer is not None:
            self._writer.release()
        if keep and self.draft.exists():
            os.replace(self.draft, self.path)
        self.draft.unlink(missing_ok=True)


def fit(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Put a picture at the top of a canvas of ``size`` (width, height), smaller where it must be."""
    width, height = size
    scale = min(1.0, width / picture.shape[1], height / picture.shape[0])
    if scale < 1:
        inner = (max(1, int(picture.shape[1] * scale)), max(1, int(picture.shape[0] * scale)))
        picture = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA)
    left = (width - picture.shape[1]) // 2
    canvas = np.full((height, width, 3), PAPER, np.uint8)
    canvas[: picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


class FrameRate:
    """Frames a second over the last few seconds, reading and drawing included."""

    def __init__(self) -> None:
        self._times: deque[float] = deque([time.perf_counter()], maxlen=31)
        self._said = 0.0

    def count(self) -> float:
        """Count a frame."""
        self._times.append(time.perf_counter())
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)

    def say(self, frames: int, total: int, rate: float, text: str) -> None:
        """One line that changes on a terminal, a line every five seconds elsewhere."""
        live = sys.stdout.isatty()
        if time.perf_counter() - self._said < (0.25 if live else 5):
            return
        self._said = time.perf_counter()
        line = f'frame {frames}{f"/{total}" if total else ""}, {rate:.1f} fps: {text}'
        print(f'\r{line[:110]:<110}' if live else line, end='' if live else '\n', flush=True)


@contextmanager
def finished_video(path: Path, fps: float) -> Iterator[VideoFile]:
    """A :class:`VideoFile`; an error throws it away, Ctrl-C does not."""
    video = VideoFile(path, fps)
    try:
        yield video
    except BaseException as error:
        video.close(keep=isinstance(error, KeyboardInterrupt))
        raise
    video.close(keep=True)


@contextmanager
def finished_lines(path: Path) -> Iterator[TextIO]:
    """A text file that appears when it is finished; an error throws it away, Ctrl-C does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        with draft.open('w', encoding='utf-8') as file:
            yield file
        os.replace(draft, path)
    except KeyboardInterrupt:
        os.replace(draft, path)
        raise
    finally:
        draft.unlink(missing_ok=True)


def show(picture: np.ndarray, title: str) -> bool:
    """Show a picture in a window.

    Returns:
        bool: Whether q was pressed.

    Raises:
        OSError: OpenCV has no windows here.
    """
    try:
        cv2.imshow(title, picture)
        return cv2.waitKey(1) & 0xFF == ord('q')
    except cv2.error as error:
        raise OSError('no window can be opened here: leave out --show, or install opencv-python') from error


def write_rate(picture: np.ndarray, rate: float) -> None:
    """Write the frames a second into the upper right corner."""
    text, font, scale = f'{rate:.1f} fps', cv2.FONT_HERSHEY_SIMPLEX, max(0.5, picture.shape[1] / 1600)
    (width, height), base = cv2.getTextSize(text, font, scale, 1)
    x = picture.shape[1] - width - 8
    cv2.rectangle(picture, (x - 4, 0), (picture.shape[1], height + base + 8), (0, 0, 0), -1)
    cv2.putText(picture, text, (x, height + 6), font, scale, (255, 255, 255), 1, cv2.LINE_AA)


def run(args: argparse.Namespace) -> int:
    """Do the work.

    Returns:
        int: Number of frames without results.
    """
    video = int(args.video) if args.video.isdecimal() else args.video
    source = VideoSource(video, args.stride, args.max_frames)
    if not source.is_live and '://' not in args.video and not Path(args.video).is_file():
        raise FileNotFoundError(f'video {args.video} does not exist')
    if args.show and sys.platform == 'linux' and not any(map(os.environ.get, ('DISPLAY', 'WAYLAND_DISPLAY'))):
        raise OSError('there is no screen to --show anything on')  # OpenCV would end the program
    inferencer = build_inferencer(args)
    inferencer.visualizer.panels = tuple(args.panels)
    recorded = 0.0 if source.is_live else source.fps / args.stride
    total, frames, failed, rate = len(source), 0, 0, FrameRate()
    began = time.perf_counter()
    with ExitStack() as stack:
        out = stack.enter_context(finished_video(args.out, args.fps or recorded or 25.0)) if args.out else None
        lines = stack.enter_context(finished_lines(args.json)) if args.json else None
        for image, result in inferencer.stream_with_images(source, args.batch_size, args.score_thr, args.tasks):
            frames, failed = frames + 1, failed + (result.error is not None)
            if lines is not None:
                lines.write(json.dumps({'frame': image.frame, **result.to_dict()}, ensure_ascii=False) + '\n')
            picture = None
            if result.error is None and (out is not None or args.show):
                picture = inferencer.visualize(image, result)
            speed = rate.count()
            if picture is not None and args.draw_fps:
                write_rate(picture, speed)
            if out is not None:
                out.write(picture)
            rate.say(frames, total, speed, result.summary())
            if args.show and picture is not None and show(picture, source.name):
                break
    seconds = time.perf_counter() - began
    print(f'\n{frames - failed} of {frames} frames in {seconds:.1f} s, {frames / seconds:.1f} fps')
    for name, path in (('video', args.out), ('results', args.json)):
        if path is not None and path.exists():
            print(f'{name + ":":9}{path}')
    return failed


def main() -> None:
    """Entry point: ends with status 1 where something was wrong with the input or with a frame."""
    args = parse_args()
    try:
        failed = run(args)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        print('\ninterrupted; what was recorded so far is kept')
        sys.exit(0)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
