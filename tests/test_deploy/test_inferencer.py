"""An exported network gives the results of the network, in another process without torch as well."""

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from mmyolor_mtl.deploy import OnnxInferencer
from mmyolor_mtl.deploy.images import make_batch
from mmyolor_mtl.deploy.runtimes import openvino_core

from .networks import agreement, assert_same, has_clear_order

# What may be imported, beside the standard library, where an exported network runs.
WITHOUT_TORCH = """
import importlib.abc, importlib.util, sys, warnings
warnings.simplefilter('error')
ALLOWED = {'mmyolor_mtl', 'numpy', 'cv2', 'onnxruntime', *sys.stdlib_module_names}

class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] not in ALLOWED:
            raise ModuleNotFoundError(f'{name} is not in this environment', name=name)

sys.meta_path.insert(0, Wall())
importlib.util.find_spec = lambda name: None
from mmyolor_mtl.deploy import OnnxInferencer
folder, picture, out = sys.argv[1:]
OnnxInferencer(folder, threads=1)(picture, score_thr=0.6)[0].save(out)
"""


@pytest.fixture(scope='module')
def expected(torch_inferencer, pictures):
    return torch_inferencer(pictures, batch_size=4, score_thr=0.6)


@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_equals_the_network(exported, expected, pictures, runtime):
    pytest.importorskip(runtime)
    found = OnnxInferencer(exported, runtime, threads=1)(pictures, batch_size=3, score_thr=0.6)
    assert sorted(len(result.scores) for result in found)[-4] > 3 and len({len(result.scores) for result in found}) > 3
    assert sorted(len(np.unique(result.sem_seg)) for result in found)[-5] > 2
    assert any(has_clear_order(result) and len(result.scores) > 3 for result in found)
    assert len({result.caption for result in found}) > 1
    for one, other in zip(expected, found, strict=True):
        assert other.image == one.image
        assert_same(one, other)


def test_without_torch(exported, expected, pictures, tmp_path):
    arguments = [str(exported), str(pictures[0]), str(tmp_path / 'result.json')]
    subprocess.run([sys.executable, '-c', WITHOUT_TORCH, *arguments], check=True, capture_output=True, text=True)
    found, truth = json.loads((tmp_path / 'result.json').read_text()), expected[0].to_dict()
    assert found['caption']['text'] == truth['caption']['text']
    assert len(found['objects']) == len(truth['objects']) > 0
    assert [part['label'] for part in found['semantic']] == [part['label'] for part in truth['semantic']]


@pytest.mark.parametrize('tasks', [('det',), ('ins',), ('sem',), ('pan',), ('cap',), ('cap', 'det')])
@pytest.mark.parametrize('runtime', ['onnxruntime', 'openvino'])
def test_only_what_is_wanted(exported, torch_inferencer, pictures, tasks, runtime):
    pytest.importorskip(runtime)
    (found,) = OnnxInferencer(exported, runtime, tasks=tasks, threads=1)(pictures[1], score_thr=0.6)
    (truth,) = torch_inferencer(pictures[1], score_thr=0.6, tasks=tasks)
    assert found.tasks == truth.tasks and set(tasks) <= set(found.tasks)
    assert_same(truth, found)


def test_another_input_size(exported, pictures, torch_inferencer):
    letterbox = torch_inferencer.pipeline.transforms[0]
    before, letterbox.scale = letterbox.scale, (192, 96)
    try:
        expected = torch_inferencer(pictures[:3], score_thr=0.6)
    finally:
        letterbox.scale = before
    found = OnnxInferencer(exported, threads=1, img_scale=(192, 96))(pictures[:3], score_thr=0.6)
    for one, other in zip(expected, found, strict=True):
        assert_same(one, other)


def test_input_of_another_size_than_the_frame():
    """The preprocessor fills frames up to the divisor, below and at the right, and grey stays grey."""
    rule = dict(scale=(100, 70), allow_scale_up=True, pad_val=114, area_shrink=True)
    form = dict(mean=[0.0] * 3, std=[255.0] * 3, swap_channels=True, divisor=32, pad_value=114 / 255)
    picture = np.full((35, 25, 3), (10, 20, 30), np.uint8)
    batch = make_batch([picture, picture[:10]], rule, form)
    assert batch.pixels.shape == (2, 3, 96, 128)
    np.testing.assert_array_equal(batch.regions[0], [25, 0, 75, 70])
    np.testing.assert_allclose(batch.pixels[0, :, 35, 50] * 255, [30, 20, 10], rtol=1e-6)
    for y, x in ((35, 10), (80, 50), (35, 120)):
        np.testing.assert_allclose(batch.pixels[0, :, y, x] * 255, [114] * 3, rtol=1e-6)
    assert batch.metas[0] == dict(
        ori_shape=(35, 25), img_shape=(70, 100), scale_factor=(2.0, 2.0), pad_param=(0, 0, 25, 25)
    )


def test_the_threshold_of_the_panoptic_map_is_its_own(exported, expected, pictures):
    """Objects that the result leaves out still count there."""
    (found,) = OnnxInferencer(exported, threads=1)(pictures[0], score_thr=1.0)
    assert len(found.scores) == 0
    assert [segment.id for segment in found.segments] == [segment.id for segment in expected[0].segments]
    assert any(segment.is_thing for segment in found.segments)


def test_arrays_and_broken_files(exported, pictures, tmp_path):
    inferencer = OnnxInferencer(exported, tasks=('det',), threads=1)
    (tmp_path / 'text.png').write_text('no picture')
    (tmp_path / 'empty.png').touch()
    bgr = cv2.imread(str(pictures[0]))
    grey = bgr[..., 0]
    items = [bgr, tmp_path / 'text.png', grey, tmp_path / 'empty.png', tmp_path / 'gone.png', bgr.astype(np.float32)]
    array, text, from_grey, empty, gone, wrong = inferencer(items, batch_size=4)
    (file,) = inferencer(pictures[0])
    np.testing.assert_allclose(array.boxes, file.boxes, atol=1e-3)
    assert array.image == 'array 0' and from_grey.error is None and from_grey.height == bgr.shape[0]
    assert 'not an image' in text.error and 'not an image' in empty.error and 'No such file' in gone.error
    assert 'array 5' in wrong.error and 'float32' in wrong.error


def test_folders(exported, pictures, tmp_path):
    inferencer = OnnxInferencer(exported, tasks=('sem',), threads=1)
    results = inferencer(pictures[0].parent)
    assert [result.image for result in results] == [str(path) for path in pictures]
    with pytest.raises(FileNotFoundError, match='holds no image'):
        inferencer(tmp_path)
    with pytest.raises(FileNotFoundError, match='nowhere does not exist'):
        inferencer(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='empty'):
        inferencer([])
    with pytest.raises(ValueError, match='batch_size=0'):
        inferencer(pictures[0], batch_size=0)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(runtime='tensorrt'), r"runtime='tensorrt' must be one of"),
        (dict(precision='fp16'), r"precision='fp16' must be one of"),
        (dict(precision='bf16'), "needs runtime='openvino'"),
        (dict(threads=0), 'threads=0 must be at least 1'),
        (dict(tasks=('depth',)), r"tasks=\('depth',\): give some of \('det', 'ins', 'sem', 'cap', 'pan'\)"),
        (dict(tasks='det'), "tasks='det': give some of"),
        (dict(img_scale=(100, 128)), r'img_scale=\(100, 128\) must be .* multiples of 32'),
    ],
)
def test_arguments_that_mean_nothing(exported, arguments, message):
    with pytest.raises(ValueError, match=message):
        OnnxInferencer(exported, **arguments)


def test_missing_runtimes_say_how_to_install_them(exported, monkeypatch):
    for runtime in ('onnxruntime', 'openvino'):
        monkeypatch.setitem(sys.modules, runtime, None)
        with pytest.raises(ImportError, match=f'pip install {runtime}'):
            OnnxInferencer(exported, runtime)


def test_folders_that_are_no_network(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match='network.json does not exist.*export_onnx.py'):
        OnnxInferencer(tmp_path)
    copy = shutil.copytree(exported, tmp_path / 'copy')
    (copy / 'caption.onnx').unlink()
    with pytest.raises(FileNotFoundError, match='caption.onnx is missing'):
        OnnxInferencer(copy)
    description = json.loads((copy / 'network.json').read_text())
    for content, message in (
        ('{', 'is no JSON'),
        ('[]', 'no key "format"'),
        (json.dumps({**description, 'format': 99}), 'has format 99'),
        (json.dumps({'format': 1, 'tasks': []}), "lacks .*'letterbox'"),
    ):
        (copy / 'network.json').write_text(content)
        with pytest.raises(ValueError, match=message):
            OnnxInferencer(copy / 'network.json')


def test_bf16_is_close(exported, expected, pictures):
    pytest.importorskip('openvino')
    if 'BF16' not in openvino_core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES'):
        with pytest.raises(ValueError, match='bf16 instructions, which this one lacks'):
            OnnxInferencer(exported, 'openvino', precision='bf16')
        return
    found = OnnxInferencer(exported, 'openvino', tasks=('sem',), threads=1, precision='bf16')(pictures)
    same = [agreement(one.sem_seg, other.sem_seg) for one, other in zip(expected, found, strict=True)]
    assert 0.5 < np.mean(same) < 1
