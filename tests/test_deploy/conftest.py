"""One small network with all heads, exported once for all tests."""

import pytest

from mmyolor_mtl.deploy.export import export_onnx

from ..test_models.helpers import tiny_model
from .networks import TOKENIZER, build_inferencer, write_pictures


@pytest.fixture(scope='session')
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp('pictures'), 8)


@pytest.fixture(scope='session')
def torch_inferencer(pictures, tmp_path_factory):
    model = tiny_model()
    model['heads']['cap'].update(tokenizer=TOKENIZER)
    model['test_cfg']['panoptic'].update(num_evaluated=5)
    return build_inferencer(model, pictures, tmp_path_factory.mktemp('network'))


@pytest.fixture(scope='session')
def exported(torch_inferencer, tmp_path_factory):
    return export_onnx(torch_inferencer, tmp_path_factory.mktemp('exported') / 'network')
