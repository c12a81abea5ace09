"""What is exported, and what is refused."""

import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

from mmyolor_mtl.deploy import export as module
from mmyolor_mtl.deploy.describe import describe
from mmyolor_mtl.deploy.description import read_description
from mmyolor_mtl.deploy.export import ExportError, check_graphs, export_onnx
from mmyolor_mtl.deploy.runtimes import load_graph

from .networks import META, WORDS


def test_files(exported):
    assert sorted(path.name for path in exported.iterdir()) == ['caption.onnx', 'network.json', 'vision.onnx']
    assert not [path for path in exported.parent.iterdir() if path != exported], 'a draft was left'
    for name in ('vision.onnx', 'caption.onnx'):
        onnx.checker.check_model(str(exported / name), full_check=True)


def test_description(exported, torch_inferencer):
    found = json.loads((exported / 'network.json').read_text())
    assert found['tasks'] == ['det', 'ins', 'sem', 'cap', 'pan']
    assert found['dataset_meta']['classes'] == list(META['classes'])
    assert found['letterbox'] == dict(scale=[128, 128], allow_scale_up=True, pad_val=114, area_shrink=True)
    assert found['detection']['iou_threshold'] == 0.7
    assert found['panoptic'] == dict(num_things=4, num_evaluated=5, score_thr=0.25, min_visible=0.0, min_stuff_area=0)
    assert found['caption']['vocabulary']['tokens'] == WORDS
    assert found == json.loads(json.dumps(describe(torch_inferencer)))


def test_ids_of_merged_stuff_stay_numbers(exported, tmp_path):
    content = json.loads((exported / 'network.json').read_text())
    content['dataset_meta']['panoptic_stuff'] = {92: 200}
    (tmp_path / 'network.json').write_text(json.dumps(content))
    for name in ('vision.onnx', 'caption.onnx'):
        (tmp_path / name).symlink_to(exported / name)
    assert read_description(tmp_path)[1]['dataset_meta']['panoptic_stuff'] == {92: 200}


def test_shapes_are_free(exported):
    vision = load_graph(exported / 'vision.onnx', ['boxes', 'mask_protos', 'sem_logits'])
    for batch, height, width in ((1, 64, 64), (3, 96, 320)):
        region = np.tile(np.array([[0, 0, width, height]], np.float32), (batch, 1))
        found = vision({'image': np.zeros((batch, 3, height, width), np.float32), 'region': region})
        cells = height * width // 64 + height * width // 256 + height * width // 1024
        assert found['boxes'].shape == (batch, cells, 4)
        assert found['mask_protos'].shape == (batch, 8, height // 4, width // 4)
        assert found['sem_logits'].shape == (batch, 6, height // 4, width // 4)


def test_graphs_that_differ_are_found(exported, torch_inferencer):
    model = torch_inferencer.model
    check_graphs(exported, model, 2, (64, 96))
    for path, message in (
        ('heads.sem.main.classifier.bias', 'sem_logits at 96 x 64 px: graph and network differ by'),
        ('heads.cap.decoder.output.4.bias', 'log-probabilities of word 1: graph'),
    ):
        parameter = model.get_parameter(path)
        before = parameter.detach().clone()
        with torch.no_grad():
            parameter[1] += 1
        try:
            with pytest.raises(ExportError, match=message):
                check_graphs(exported, model, 2, (64, 96))
        finally:
            with torch.no_grad():
                parameter.copy_(before)


def test_nothing_is_left_of_an_export_that_fails(torch_inferencer, tmp_path, monkeypatch):
    def write(network, folder):
        (folder / 'vision.onnx').touch()

    def differ(*args):
        raise ExportError('boxes: graph and network differ')

    monkeypatch.setattr(module, '_write_graphs', write)
    monkeypatch.setattr(module, 'check_graphs', differ)
    with pytest.raises(ExportError):
        export_onnx(torch_inferencer, tmp_path / 'new' / 'network')
    assert list((tmp_path / 'new').iterdir()) == []


def test_an_earlier_export_is_replaced(torch_inferencer, tmp_path, monkeypatch):
    monkeypatch.setattr(module, '_write_graphs', lambda network, folder: (folder / 'vision.onnx').write_text('new'))
    monkeypatch.setattr(module, 'check_graphs', lambda *args: None)
    for name in ('vision.onnx', 'caption.onnx', 'notes.txt'):
        (tmp_path / name).write_text('old')
    export_onnx(torch_inferencer, tmp_path)
    content = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert sorted(content) == ['network.json', 'notes.txt', 'vision.onnx']
    assert content['vision.onnx'] == 'new' and content['notes.txt'] == 'old'


def test_the_network_itself_is_left_as_it_was(exported, torch_inferencer):
    names = {type(part).__name__ for part in torch_inferencer.model.modules()}
    assert 'MultiHeadAttention' in names and 'AttentionToPicture' not in names


def test_missing_packages_are_named(monkeypatch, torch_inferencer, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        module.importlib.util, 'find_spec', lambda name: None if name.startswith('onnx') else find(name)
    )
    with pytest.raises(ImportError, match=r'pip install onnx onnxscript onnxruntime, or .*mmyolor-mtl\[export\]'):
        export_onnx(torch_inferencer, tmp_path / 'network')
    assert not (tmp_path / 'network').exists()


def test_what_cannot_be_exported_is_refused(torch_inferencer, monkeypatch):
    heads = torch_inferencer.model.heads
    cases = [
        (heads['cap'].test_cfg, 'top_p', 0.9, 'take top_p out of model.heads.cap.test_cfg'),
        (heads['det'].test_cfg, 'nms', dict(type='soft_nms', iou_threshold=0.5), "only nms=.*got .*'soft_nms'"),
        (heads['det'].test_cfg, 'nms', dict(type='nms', iou_threshold=0.5, min_score=1), 'only nms=.*min_score'),
    ]
    for cfg, key, value, message in cases:
        with monkeypatch.context() as patch:
            patch.setitem(cfg, key, value)
            with pytest.raises(ValueError, match=message):
                describe(torch_inferencer)
    flip = SimpleNamespace()
    with monkeypatch.context() as patch:
        patch.setattr(torch_inferencer.pipeline, 'transforms', [*torch_inferencer.pipeline.transforms, flip])
        with pytest.raises(ValueError, match='by one Letterbox'):
            describe(torch_inferencer)
    with monkeypatch.context() as patch:
        patch.setattr(torch_inferencer.model.data_preprocessor, 'pad_size_divisor', 16)
        with pytest.raises(ValueError, match='pad_size_divisor=16'):
            describe(torch_inferencer)
