"""Training, evaluation and resuming with MMEngine's runner on real files."""

import json
import math

import pytest
import torch
from mmengine.runner import Runner

from mmyolor_mtl.engine.hooks.eval_table_hook import ROWS

from .conftest import tiny_config

LOSSES = {
    'loss_det_cls',
    'loss_det_bbox',
    'loss_det_dfl',
    'loss_ins_mask',
    'loss_sem_pixel',
    'loss_sem_dice',
    'loss_cap_ce',
}


def scalars(work_dir):
    """All lines that the runner logged, in order."""
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def train(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_all_tasks_train_are_evaluated_and_resume(scenes, tmp_path):
    train(tiny_config(scenes, tmp_path, max_epochs=2))
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    for key in ('coco/bbox_mAP', 'coco/segm_mAP', 'sem/mIoU', 'pan/PQ', 'cap/Bleu_4', 'cap/CIDEr', 'seconds'):
        assert math.isfinite(metrics[key]), key
    assert {key for row in ROWS.values() for key in row} <= set(metrics)
    losses = [line for line in scalars(tmp_path) if 'loss' in line]
    assert len(losses) == 6 and set(losses[0]) >= LOSSES
    checkpoint = torch.load(tmp_path / 'epoch_2.pth', map_location='cpu', weights_only=False)
    assert checkpoint['meta']['tokenizer'] and checkpoint['meta']['dataset_meta']['classes']
    assert 'ema_state_dict' in checkpoint

    cfg = tiny_config(scenes, tmp_path, max_epochs=3)
    cfg.resume = True
    runner = train(cfg)
    assert (runner.epoch, runner.iter) == (3, 9)
    # Three more iterations ran, not nine: the run went on where it had stopped.
    assert [line['step'] for line in scalars(tmp_path) if 'loss' in line][6:] == [7, 8, 9]
    assert (tmp_path / 'epoch_3.pth').is_file()


def test_one_seed_gives_one_training(scenes, tmp_path):
    def weights(name):
        cfg = tiny_config(scenes, tmp_path / name, max_epochs=1)
        cfg.custom_hooks = []
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.randomness = dict(seed=5)
        return train(cfg).model.state_dict()

    first, second = weights('a'), weights('b')
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def drop_labels(root):
    """Take the semantic maps of some images, the captions of others and the boxes of a third part."""
    maps = sorted((root / 'stuffthingmaps/train2017').iterdir())
    for path in maps[:4]:
        path.unlink()
    captions = root / 'annotations/captions_train2017.json'
    content = json.loads(captions.read_text())
    ids = sorted({image['id'] for image in content['images']})
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] not in ids[4:8]]
    captions.write_text(json.dumps(content))
    instances = root / 'annotations/instances_train2017.json'
    content = json.loads(instances.read_text())
    content['images'] = [image for image in content['images'] if image['id'] not in ids[8:]]
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] not in ids[8:]]
    instances.write_text(json.dumps(content))


@pytest.mark.parametrize('batch_size', [1, 4])
def test_images_without_some_labels_train_all_tasks(own_scenes, tmp_path, batch_size):
    drop_labels(own_scenes)
    cfg = tiny_config(own_scenes, tmp_path / 'run', max_epochs=2, batch_size=batch_size)
    runner = train(cfg)
    labelled = [runner.train_dataloader.dataset.get_data_info(i)['labelled_tasks'] for i in range(12)]
    assert {task for tasks in labelled for task in tasks} == {'det', 'ins', 'sem', 'cap'}
    assert len({tuple(tasks) for tasks in labelled}) == 3
    lines = [line for line in scalars(tmp_path / 'run') if 'loss' in line]
    for name in LOSSES:
        values = [line[name] for line in lines]
        assert all(math.isfinite(value) for value in values) and max(values) > 0, name


def test_broken_picture_is_skipped_with_a_warning(own_scenes, tmp_path):
    cfg = tiny_config(own_scenes, tmp_path / 'run', max_epochs=1)
    cfg.custom_hooks = []
    cfg.train_dataloader.dataset.check = 'none'
    broken = sorted((own_scenes / 'train2017').iterdir())[0]
    broken.write_bytes(b'not a picture')
    runner = train(cfg)
    assert runner.iter == 3
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert broken.name in log.read_text()
    assert runner.train_dataloader.dataset.num_broken >= 1


def test_broken_picture_is_reported_before_training(own_scenes, tmp_path):
    broken = sorted((own_scenes / 'train2017').iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:-200])
    with pytest.raises(ValueError, match=broken.name):
        train(tiny_config(own_scenes, tmp_path / 'run'))
    assert not list((tmp_path / 'run').glob('*.pth'))
