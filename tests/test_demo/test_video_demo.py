"""The video demo as a program of its own, on a video of Shapes scenes."""

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmyolor_mtl.apis import VideoSource

from ..test_apis.test_sources import break_frame

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'demo' / 'video_demo.py'


@pytest.fixture(scope='module')
def video_demo():
    spec = importlib.util.spec_from_file_location('video_demo', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def video(scenes, tmp_path):
    """Six scenes of 64 px, eight frames a second."""
    path = tmp_path / 'scenes.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 8, (64, 64))
    for file in sorted((scenes / 'train2017').iterdir())[:6]:
        writer.write(cv2.imread(str(file)))
    writer.release()
    return path


def run(*arguments, cwd=None):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        environment.pop(name, None)
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def test_an_annotated_video_and_lines_of_json(video, trained, tmp_path):
    break_frame(video, 2)
    out, lines = tmp_path / 'new' / 'seen.mp4', tmp_path / 'new' / 'seen.jsonl'
    options = shlex.split('--score-thr 0 --batch-size 2 --device cpu --draw-fps --panels objects semantic')
    done = run(video, trained, '--out', out, '--json', lines, *options)
    assert done.returncode == 1, done.stderr  # a frame is broken, and the run went on
    assert '5 of 6 frames' in done.stdout and 'fps' in done.stdout and 'frame 1/6' in done.stdout
    results = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [result['frame'] for result in results] == [0, 1, 2, 3, 4, 5]
    assert [result['frame'] for result in results if 'error' in result] == [2]
    assert all(result['caption']['text'] and result['objects'] for result in results if 'error' not in result)
    frames = list(VideoSource(out))
    # The broken frame shows what stood before it, so that the video keeps its length and speed.
    assert len(frames) == 6 and VideoSource(out).fps == 8 and not any(frame.error for frame in frames)
    assert np.abs(frames[2].pixels.astype(int) - frames[1].pixels).mean() < 3
    assert min(frames[0].pixels.shape[:2]) > 480
    assert sorted(file.name for file in out.parent.iterdir()) == ['seen.jsonl', 'seen.mp4']


def test_every_third_frame_of_single_tasks(video_demo, video, trained, tmp_path, capsys):
    lines = tmp_path / 'seen.jsonl'
    options = ['--stride', '3', '--max-frames', '2', '--tasks', 'cap', '--device', 'cpu', '--half']
    assert video_demo.run(video_demo.parse_args([str(video), str(trained), '--json', str(lines), *options])) == 0
    results = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [result['frame'] for result in results] == [0, 3] and set(results[0]) >= {'caption', 'image'}
    assert 'objects' not in results[0] and '2 of 2 frames' in capsys.readouterr().out


def test_what_can_be_wrong(video_demo, video, trained, tmp_path, monkeypatch, capsys):
    for wrong, message in (
        ([], 'give --out, --json or --show'),
        (['--out', 'x.gif'], 'must end in one of .mp4'),
        (['--out', 'x.mp4', '--fps', '0'], 'must be above 0'),
        (['--json', 'x', '--batch-size', '0'], 'must be at least 1'),
    ):
        with pytest.raises(SystemExit):
            video_demo.parse_args([str(video), str(trained), *wrong])
        assert message in capsys.readouterr().err
    (tmp_path / 'text.mp4').write_text('no video')
    args = video_demo.parse_args([str(tmp_path / 'text.mp4'), str(trained), '--out', str(tmp_path / 'x.mp4')])
    assert video_demo.run(args) == 1
    assert '0 of 1 frames' in (printed := capsys.readouterr().out) and 'not a video that OpenCV can decode' in printed
    assert not list(tmp_path.glob('*x.mp4'))
    with pytest.raises(FileNotFoundError, match=r'video none\.mp4 does not exist'):
        video_demo.run(video_demo.parse_args(['none.mp4', str(trained), '--json', 'x']))
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, 'platform', 'linux')
    with pytest.raises(OSError, match='no screen'):
        video_demo.run(video_demo.parse_args([str(video), str(trained), '--show']))


def test_the_end_of_a_recording(video_demo, tmp_path):
    """Ctrl-C is how a camera's recording ends: it is kept. An error leaves nothing behind."""
    picture = np.full((50, 41, 3), 90, np.uint8)
    path = tmp_path / 'x.avi'
    for cause, kept in ((KeyboardInterrupt, True), (ValueError, False), (None, True)):
        try:
            with video_demo.finished_video(path, 8) as video, video_demo.finished_lines(tmp_path / 'x.jsonl') as lines:
                lines.write('{}\n')
                video.write(None)  # nothing to repeat yet
                video.write(picture)
                video.write(None)
                if cause is not None:
                    raise cause
        except (KeyboardInterrupt, ValueError) as error:
            assert type(error) is cause
        assert sorted(file.name for file in tmp_path.iterdir()) == (['x.avi', 'x.jsonl'] if kept else [])
        if kept:
            frames = list(VideoSource(path))
            assert [frame.pixels.shape for frame in frames] == [(56, 42, 3)] * 2
            path.unlink(), (tmp_path / 'x.jsonl').unlink()


def test_unknown_codecs_are_passed_over(video_demo, tmp_path, monkeypatch):
    picture = np.full((50, 41, 3), 90, np.uint8)
    monkeypatch.setitem(video_demo.CODECS, '.avi', ('ZZZZ', 'MJPG'))
    with video_demo.finished_video(tmp_path / 'x.avi', 8) as video:
        video.write(picture)
    assert len(list(VideoSource(tmp_path / 'x.avi'))) == 1
    monkeypatch.setitem(video_demo.CODECS, '.avi', ('ZZZZ',))
    with pytest.raises(OSError, match='no codec'), video_demo.finished_video(tmp_path / 'y.avi', 8) as video:
        video.write(picture)


def test_pictures_that_grow_are_made_to_fit(video_demo):
    for shape in ((40, 60), (80, 60), (30, 90), (1, 1)):
        canvas = video_demo.fit(np.zeros((*shape, 3), np.uint8), (60, 50))
        assert canvas.shape == (50, 60, 3)
        rows, columns = np.nonzero(canvas[..., 0] == 0)
        assert rows.min() == 0 and (np.ptp(rows) + 1) / (np.ptp(columns) + 1) == pytest.approx(
            shape[0] / shape[1], rel=0.1
        )
