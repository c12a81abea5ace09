"""A handful of Shapes scenes and a tiny network, trained by the real runner."""

import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from mmyolor_mtl.datasets.shapes import write_shapes

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / 'configs/shapes/yolor-mtl_elan-w25_det-ins-sem-cap_demo_shapes.py'
SIZE = 64


@pytest.fixture(scope='session')
def scenes(tmp_path_factory):
    """Twelve training and four validation scenes of 64 px."""
    root = tmp_path_factory.mktemp('scenes') / 'shapes'
    write_shapes(root, 12, 4, size=SIZE, seed=3)
    return root


@pytest.fixture
def own_scenes(scenes, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(scenes, tmp_path / 'shapes'))


def tiny_config(data_root, work_dir, *, max_epochs=2, batch_size=4) -> Config:
    """The demo's config for another folder, 1/16 as wide, with 64 px pictures."""
    cfg = Config.fromfile(DEMO)
    text = cfg.pretty_text.replace('data/shapes/', f'{data_root}/').replace('192', str(SIZE))
    cfg = Config.fromstring(text, '.py')
    cfg.merge_from_dict(
        {
            'work_dir': str(work_dir),
            'visualizer.name': str(work_dir),  # visualizers are kept by name, with their folder
            'train_cfg.max_epochs': max_epochs,
            'train_cfg.val_interval': max_epochs,
            'default_hooks.logger.interval': 1,
            'default_hooks.checkpoint.max_keep_ckpts': 3,
            'model.backbone.widen_factor': 1 / 16,
            'model.neck.widen_factor': 1 / 16,
            'model.neck.in_channels': (32, 64, 64),
            'model.heads.det.in_channels': (16, 32, 64),
            'model.heads.det.test_cfg.score_thr': 1e-6,  # an untrained network should still predict something
            'model.heads.ins.in_channels': (16, 32, 64),
            'model.heads.ins.proto_channels': 16,
            'model.heads.sem.in_channels': (16, 32, 64),
            'model.heads.cap.in_channels': (32, 64, 64),
            'model.heads.cap.embed_dims': 32,
            'model.heads.cap.num_layers': 1,
            'model.heads.cap.feedforward_channels': 32,
            'model.heads.cap.mlp_channels': 32,
        }
    )
    cfg.param_scheduler = [dict(type='ConstantLR', factor=1.0, by_epoch=True)]
    cfg.custom_hooks[0].switch_epoch = max_epochs - 1
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=batch_size, num_workers=0, persistent_workers=False)
    return cfg
