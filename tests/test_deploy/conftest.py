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
    # Long sentences: OpenVINO 2026.4 miscalculates some products over 16 words.
    model['heads']['cap'].update(tokenizer=TOKENIZER, max_length=24, test_cfg=dict(max_length=20, min_length=18))
    model['test_cfg']['panoptic'].update(num_evaluated=5)
    return build_inferencer(model, pictures, tmp_path_factory.mktemp('network'))


@pytest.fixture(scope='session')
def exported(torch_inferencer, tmp_path_factory):
    return export_onnx(torch_inferencer, tmp_path_factory.mktemp('exported') / 'network')
