"""``--tta`` of mmdet's ``test.py`` builds what our configs name, which says why not."""

import pytest
from mmengine.config import Config

from mmyolor_mtl.registry import MODELS
from mmyolor_mtl.utils.cli import NO_TTA


def test_the_reason_is_given(repo_root):
    cfg = Config.fromfile(repo_root / 'configs/_base_/default_runtime.py')
    with pytest.raises(ValueError, match=r'--tta is not supported: .*no sound way to merge') as refused:
        MODELS.build({**cfg.tta_model, 'module': dict(type='mmyolor_mtl.YOLORMTL')})
    assert NO_TTA in str(refused.value)
