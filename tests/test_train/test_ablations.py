"""Ablations with other tasks, data or losses train, with the mosaic and after it is closed, and are evaluated."""

import json
import math
from pathlib import Path

import pytest
from mmengine.config import Config

from mmyolor_mtl.utils.cli import build_runner
from tools.analysis_tools.measure_step import adapt_config, build_parser

from .conftest import SIZE

FOLDER = Path(__file__).resolve().parents[2] / 'configs/ablations'
NAMES = ('cap_full-transformer', 'sem', 'sem-cap', 'det-ins-sem-cap_strong-captions', 'det-ins-sem-cap_full-resolution')
FIGURES = {'det': 'coco/bbox_mAP', 'ins': 'coco/segm_mAP', 'sem': 'sem/mIoU', 'cap': 'cap/Bleu_4'}


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_train(name, scenes, tmp_path):
    path = FOLDER / f'yolor-mtl_elan-w25_{name}_ablation_shapes.py'
    elsewhere = build_parser().parse_args([str(path), '--data-root', f'{scenes}/', '--img-scale', str(SIZE)])
    cfg = adapt_config(Config.fromfile(path), elsewhere)
    cfg.merge_from_dict({'work_dir': str(tmp_path), 'visualizer.name': str(tmp_path)})
    cfg.train_cfg.update(max_epochs=2, val_interval=2)
    cfg.param_scheduler = []
    cfg.train_dataloader.batch_size = 12
    for hook in cfg.custom_hooks:
        hook.switch_epoch = 1
    build_runner(cfg).train()
    figures = json.loads((tmp_path / 'metrics.json').read_text())
    assert {task for task, key in FIGURES.items() if key in figures} == set(cfg.model.heads)
    assert all(math.isfinite(figures[FIGURES[task]]) for task in cfg.model.heads)
    assert (tmp_path / 'epoch_2.pth').is_file()
