"""Test-time augmentation is refused with a reason, also where MMDetection's own ``test.py --tta`` asks for it."""

from typing import Any

from torch import nn

from ...registry import MODELS
from ...utils.cli import NO_TTA


@MODELS.register_module()
class RefusedTTA(nn.Module):
    """The ``tta_model`` of our configs: ends ``--tta`` with the reason why there is none.

    Without it MMDetection takes a pipeline and a merging of its own, which fail at masks and not in these words.

    Raises:
        ValueError: Always.
    """

    def __init__(self, **kwargs: Any) -> None:
        raise ValueError(NO_TTA)
