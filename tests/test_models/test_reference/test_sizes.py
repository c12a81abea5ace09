"""Parameters and operations of the seven networks (REFERENCE_SPEC 1.6), trained and deployed."""

import importlib.util
from argparse import Namespace
from pathlib import Path

import mmdet
import pytest
import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.logging import MMLogger

from mmyolor_mtl.models.layers.gelan import RepConvN
from tests.test_datasets import tiny_coco

from ..helpers import count
from .networks import NAMES, ROOT, build, fill, images

# Parameters while training and fused, and GFLOPs of the network before fusion (a multiplication and an addition each).
TABLE = {
    'yolov7-af': (43_589_728, 43_564_736, 131.2),
    'yolov7-af-seg': (45_928_448, 45_902_528, 173.4),
    'yolov7-af-pan': (46_087_277, 46_061_293, 175.6),
    'gelan-c': (25_498_752, 25_288_768, 103.5),
    'gelan-c-seg': (27_634_720, 27_423_808, 146.0),
    'gelan-c-pan': (27_793_549, 27_582_573, 148.1),
    'gyolo': (52_601_178, 52_206_362, 122.25),
}
GYOLO_UNFUSED, GYOLO_DEPLOYED = 33_526_477, 33_269_741


@pytest.fixture(params=NAMES)
def network(request):
    return request.param, build(request.param)


def test_parameters(network):
    name, model = network
    trained, fused, _ = TABLE[name]
    assert count(model) == trained
    for module in model.modules():
        if isinstance(module, RepConvN):
            module.switch_to_deploy()
    fuse_conv_bn(model)
    assert count(model) == fused


def test_gyolo_in_its_deploy_form():
    model = build('gyolo')
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    gate = count(model.heads['cap'].decoder.layers[0].unused_gate)  # frozen here: nothing reads it
    assert count(model) - frozen + gate == 52_568_106
    for head in model.heads.values():
        head.switch_to_deploy()
    model.auxiliary = None
    assert count(model) == GYOLO_UNFUSED
    model.switch_to_deploy()
    assert count(model) == GYOLO_DEPLOYED


@pytest.mark.parametrize('name', ['yolov7-af-pan', 'gelan-c-pan', 'gyolo'])
def test_deploy_form_computes_the_same(name):
    model = build(name)
    fill(model)
    pictures = images(3, 96, 128, batch=1)
    with torch.no_grad():
        expected = model(pictures, mode='tensor')
        model.switch_to_deploy()
        found = model(pictures, mode='tensor')
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert (found[key] - value).abs().max() <= 1e-3 * value.abs().max(), key


@pytest.fixture(scope='module')
def get_flops():
    """mmdet's tool."""
    path = Path(mmdet.__file__).parent / '.mim/tools/analysis_tools/get_flops.py'
    if not path.is_file():
        pytest.skip(f'this mmdet ships no {path.name}')
    spec = importlib.util.spec_from_file_location('get_flops', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_operations(name, get_flops, tmp_path):
    """mmdet's tool counts a multiplication with its addition as one operation; the table counts two."""
    root = tiny_coco.build(tmp_path, 'val2017')
    options = {
        'val_dataloader.dataset.data_root': f'{root}/',
        'val_dataloader.num_workers': 0,
        'val_dataloader.persistent_workers': False,
    }
    config = str(ROOT / f'configs/reference/{name}.py')
    result = get_flops.inference(
        Namespace(config=config, num_images=1, cfg_options=options), MMLogger.get_instance('flops')
    )
    assert tuple(result['pad_shape']) == (640, 640)
    number, unit = result['flops'][:-1], result['flops'][-1]
    assert unit == 'G' and 2 * float(number) == pytest.approx(TABLE[name][2], rel=0.02)
