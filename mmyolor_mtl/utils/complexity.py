"""Size and operations of a network."""

import torch
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from mmyolor_mtl.registry import MODELS


def network_cost(cfg: Config, deploy: bool = False) -> dict[str, float]:
    """Parameters and operations of a config's network for one picture of ``img_scale``.

    Args:
        cfg: A config.
        deploy: Count the network as it is after ``switch_to_deploy``.

    Returns:
        ``parameters``, and ``gflops`` of the convolutions and linear layers in a plain forward pass, a multiplication
        and an addition counted as two; of a caption head that is the memory and one word.

    Raises:
        ValueError: The config has no ``img_scale``.
    """
    if 'img_scale' not in cfg:
        raise ValueError(f'{cfg.filename} has no img_scale = (width, height), for which operations are counted')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    MMLogger.get_current_instance().setLevel('ERROR')  # it names every kind of operation that is not counted
    model = MODELS.build(cfg.model).eval()
    if deploy:
        model.switch_to_deploy()
    parameters = sum(p.numel() for p in model.parameters())
    model.forward = model._forward
    width, height = cfg.img_scale
    picture = torch.zeros(1, 3, height, width)
    counted = get_model_complexity_info(model, inputs=(picture,), show_table=False, show_arch=False)
    return dict(parameters=parameters, gflops=2 * counted['flops'] / 1e9)
