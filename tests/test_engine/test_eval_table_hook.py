import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmyolor_mtl.engine.hooks import EvalTableHook
from mmyolor_mtl.engine.hooks.eval_table_hook import format_table, write_json
from mmyolor_mtl.registry import HOOKS

METRICS = {
    'coco/bbox_mAP': 0.91234,
    'coco/bbox_mAP_s': -1.0,
    'coco/segm_mAP': np.float32(0.5),
    'sem/mIoU': torch.tensor(0.25),
    'pan/PQ': float('nan'),
    'cap/CIDEr': 1.234,
    'cap/Bleu_4': 0.5,
    'sem/IoU_per_class': [0.1, 0.2],
    'other': 3,
}


class Log:
    def __init__(self):
        self.lines = []

    def info(self, text):
        self.lines.append(text)


def make_runner(work_dir, epoch=None, metrics=()):
    evaluator = SimpleNamespace(metrics=metrics)
    return SimpleNamespace(
        work_dir=str(work_dir),
        logger=Log(),
        _train_loop=None if epoch is None else object(),
        epoch=epoch,
        val_evaluator=evaluator,
        test_evaluator=evaluator,
    )


def test_table_has_a_row_a_task_and_aligned_columns():
    lines = format_table(METRICS).splitlines()
    assert [line.split()[1] for line in lines[1:-1]] == ['boxes', 'masks', 'semantic', 'panoptic', 'captions']
    assert len({len(line) for line in lines}) == 1
    assert '0.912' in lines[1] and lines[1].count('-') == 1  # -1 means there are no such objects
    assert 'BLEU-4 0.500 | CIDEr 1.234' in lines[5]


def test_table_without_known_metrics_is_empty():
    assert format_table({'loss': 1.0}) == ''


def test_validation_writes_flat_json_with_epoch(tmp_path):
    hook = HOOKS.build(dict(type='mmyolor_mtl.EvalTableHook'))
    runner = make_runner(tmp_path / 'work', epoch=3)
    hook.before_run(runner)
    hook.after_val_epoch(runner, METRICS)
    figures = json.loads((tmp_path / 'work' / 'metrics.json').read_text())
    assert figures.pop('seconds') >= 0
    assert figures == {
        'coco/bbox_mAP': 0.91234,
        'coco/bbox_mAP_s': -1.0,
        'coco/segm_mAP': 0.5,
        'sem/mIoU': 0.25,
        'pan/PQ': None,
        'cap/CIDEr': 1.234,
        'cap/Bleu_4': 0.5,
        'other': 3,
        'epoch': 3,
    }
    assert len(runner.logger.lines) == 1 and 'epoch 3' in runner.logger.lines[0] and '0.912' in runner.logger.lines[0]


def test_test_has_no_epoch_and_no_metrics_write_nothing(tmp_path):
    hook, runner = EvalTableHook(out_file='figures.json'), make_runner(tmp_path)
    hook.after_test_epoch(runner, {})
    assert not list(tmp_path.iterdir())
    hook.after_test_epoch(runner, {'sem/mIoU': 0.5})
    assert set(json.loads((tmp_path / 'figures.json').read_text())) == {'sem/mIoU', 'seconds'}


def test_tables_of_classes_go_into_the_file_if_a_metric_keeps_them(tmp_path):
    rows = [{'class': 'cat', 'AP': np.float64(0.5)}, {'class': 'dog', 'AP': float('nan')}]
    metrics = [SimpleNamespace(class_tables={'coco/bbox': rows}), SimpleNamespace(class_tables={}), SimpleNamespace()]
    hook = EvalTableHook()
    hook.after_test_epoch(make_runner(tmp_path, metrics=metrics), {'sem/mIoU': 0.5})
    figures = json.loads((tmp_path / 'metrics.json').read_text())
    assert figures['per_class'] == {'coco/bbox': [{'class': 'cat', 'AP': 0.5}, {'class': 'dog', 'AP': None}]}
    hook.after_test_epoch(make_runner(tmp_path, metrics=metrics[1:]), {'sem/mIoU': 0.5})
    assert 'per_class' not in json.loads((tmp_path / 'metrics.json').read_text())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'metrics.json'
    write_json(path, {'a': 1})
    with pytest.raises(TypeError):
        write_json(path, {'a': object()})
    assert json.loads(path.read_text()) == {'a': 1}
    assert [file.name for file in tmp_path.iterdir()] == ['metrics.json']
