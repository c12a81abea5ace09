import copy

import pytest
import torch

from mmyolor_mtl.registry import MODELS
from mmyolor_mtl.utils.lively import make_lively

from ..test_models.helpers import tiny_model
from ..test_models.test_detectors.test_gyolo import config as gyolo_config


@pytest.mark.parametrize('config', [tiny_model, gyolo_config])
def test_every_picture_has_objects_and_rounding_changes_little(config):
    model = MODELS.build(config())
    model.init_weights()
    pictures = torch.nn.functional.interpolate(torch.rand(3, 3, 4, 5), (96, 128), mode='bilinear')
    pictures[2] *= 0.1  # a dark one
    make_lively(model, pictures, objects=10)
    assert not model.training
    with torch.no_grad():
        outputs = model(pictures)
        exact = copy.deepcopy(model).double()(pictures.double())
    likely = (outputs['cls_logits'].amax(-1) >= -1e-4).sum(1)
    assert likely.min() >= 10 and likely.float().mean() < 200
    assert len(outputs['sem_logits'].argmax(1).unique()) > 3
    assert outputs['cap_logits'].std() > 1
    for name in ('cls_logits', 'box_dists', 'mask_protos', 'sem_logits'):
        assert (outputs[name] - exact[name]).abs().max() < 1e-3, name
