"""MMDetection's visualisation hook with the real runner, on scenes of Shapes."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.engine.hooks import DetVisualizationHook
from mmengine.config import Config
from mmengine.runner import Runner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmyolor_mtl.datasets.shapes import write_shapes
from mmyolor_mtl.utils import register_all_modules
from mmyolor_mtl.visualization import MTLLocalVisualizer

from ..test_train.conftest import tiny_config

SCENES = 3


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    """What a runner leaves that validates, then tests into the folder ``shown``."""
    register_all_modules()
    root, work_dir = tmp_path_factory.mktemp('hook') / 'shapes', tmp_path_factory.mktemp('work')
    write_shapes(root, 1, SCENES, size=64, seed=11)
    # Most of the time would go into a pretty text of the config.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **kwargs: (text, True))
        cfg = tiny_config(root, work_dir, batch_size=1)
        page = (Path(__file__).resolve().parents[2] / 'docs' / 'user_guides' / 'error_report.md').read_text()
        (settings,) = re.findall('```python\n(.*?)```', page, re.DOTALL)
        cfg.merge_from_dict(Config.fromstring(settings, '.py').to_dict())
        cfg.default_hooks.visualization.update(interval=1, score_thr=0.0)
        cfg.default_hooks.pop('checkpoint')  # of mmengine: without training it does not know where to save the best
        runner = Runner.from_cfg(cfg)
        runner.val()
        (hook,) = (hook for hook in runner.hooks if isinstance(hook, DetVisualizationHook))
        hook.test_out_dir = 'shown'
        runner.test()
    runner.visualizer.close()
    return work_dir


def test_validation_reaches_the_local_and_the_tensorboard_back_end(work_dir):
    files = sorted(work_dir.rglob('vis_image/*.png'))
    assert [file.name for file in files] == [f'val_img_{step}.png' for step in range(SCENES)]
    (event_file,) = work_dir.rglob('events.out.tfevents.*')
    events = EventAccumulator(str(event_file), size_guidance={'images': 0})
    events.Reload()
    assert events.Tags()['images'] == ['val_img']
    stored = events.Images('val_img')
    assert [event.step for event in stored] == list(range(SCENES))
    for event, file in zip(stored, files, strict=True):
        picture = cv2.imdecode(np.frombuffer(event.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(picture, cv2.imread(str(file)))
        # Ground truth beside prediction, four tasks below each other, of a scene enlarged eight times.
        assert picture.shape[1] > 2 * 512 and picture.shape[0] > 3 * 512


def test_testing_writes_one_picture_an_image(work_dir):
    (shown,) = work_dir.glob('*/shown')
    pictures = [cv2.imread(str(file)) for file in shown.iterdir()]
    assert len(pictures) == SCENES and all(picture.shape[1] > 2 * 512 for picture in pictures)


def test_pictures_of_several_sizes_share_a_tag(tmp_path):
    """The back ends take whatever size a picture has."""
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    visualizer = MTLLocalVisualizer(vis_backends=backends, save_dir=str(tmp_path))
    for step, height in enumerate((20, 700)):
        visualizer.add_datasample('val_img', np.full((height, 60, 3), 100, np.uint8), step=step)
    visualizer.close()
    assert len(list(tmp_path.rglob('val_img_*.png'))) == 2
