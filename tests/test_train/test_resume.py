"""Runs that were killed with SIGKILL, and what they come to when they are resumed."""

import math
import random
import signal

import pytest
import torch

from mmyolor_mtl.utils import register_safe_globals

from . import kill_hook  # noqa: F401  (registers the hook)
from .conftest import tiny_config
from .forks import train
from .test_balancers import balance

STEPS = 8


def resumable_config(root, work_dir):
    """Two epochs of four steps, of which the last has another pipeline; everything random is on."""
    cfg = tiny_config(root, work_dir, max_epochs=2, batch_size=3)
    cfg.randomness = dict(seed=5)
    cfg.model.heads.cap.dropout = 0.2
    cfg.train_cfg.val_interval = 1
    cfg.default_hooks.checkpoint.save_best = 'cap/Bleu_1'
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=3),
        dict(type='CosineAnnealingLR', T_max=1, begin=1, end=2, by_epoch=True, convert_to_iter_based=True),
    ]
    cfg.custom_imports = dict(imports=['mmyolor_mtl', 'tests.test_train.kill_hook'], allow_failed_imports=False)
    cfg.custom_hooks.append(dict(type='mmyolor_mtl.KillHook'))
    return cfg


def within_epochs(cfg):
    """Checkpoints after every second step, gradients accumulated over three."""
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=2)
    cfg.optim_wrapper.accumulative_counts = 3
    return cfg


def with_workers(cfg):
    """Checkpoints after every third step; workers that stay prepare the samples."""
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=3, max_keep_ckpts=1)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=2, persistent_workers=True)
    return cfg


def self_critical(cfg):
    """Checkpoints after every epoch; in the second, captions are trained by sentences drawn at random."""
    captions = f'{cfg.train_dataloader.dataset.data_root}annotations/captions_train2017.json'
    loss = dict(type='SelfCriticalLoss', caption_file=captions, num_captions=2, search='sample', max_length=8)
    cfg.custom_hooks.append(dict(type='mmyolor_mtl.SelfCriticalHook', loss=loss, begin=1, freeze=False))
    return cfg


def write(make, root, folder):
    """A config file whose run leaves everything in ``folder``."""
    cfg = make(resumable_config(root, folder / 'run'))
    folder.mkdir(exist_ok=True)
    cfg.dump(folder / 'job.py')
    return folder / 'job.py'


def final_state(config):
    """What the run has come to, from its last checkpoint."""
    register_safe_globals()
    last = (config.parent / 'run/last_checkpoint').read_text()
    state = torch.load(last, map_location='cpu', weights_only=True)
    hub = state['message_hub']['runtime_info']
    kept = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'train_loop', 'processes')
    return {**{key: state[key] for key in kept}, 'iter': state['meta']['iter'], 'best': hub.get('best_score')}


def assert_equal(first, second, path=''):
    assert type(first) is type(second), path
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        for key in first:
            assert_equal(first[key], second[key], f'{path}/{key}')
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), path
        for i, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_equal(one, other, f'{path}/{i}')
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), path
    else:
        assert first == second or (math.isnan(first) and math.isnan(second)), path


def run_whole(make, root, folder, processes=1):
    config = write(make, root, folder)
    assert train(config, processes=processes) == [0] * processes, (folder / 'log.txt').read_text()[-2000:]
    return final_state(config)


def kill_and_resume(make, root, folder, kill_at, reference, processes=1):
    config = write(make, root, folder)
    killed = train(config, processes=processes, KILL_AT=kill_at)
    assert killed[-1] == -signal.SIGKILL and 0 not in killed, (folder / 'log.txt').read_text()[-2000:]
    resumed = train(config, '--resume', processes=processes)
    assert resumed == [0] * processes, (folder / 'log.txt').read_text()[-2000:]
    assert_equal(final_state(config), reference)


def test_killed_within_an_epoch_and_an_accumulation(scenes, tmp_path):
    reference = run_whole(within_epochs, scenes, tmp_path / 'whole')
    assert reference['iter'] == STEPS
    kill_and_resume(within_epochs, scenes, tmp_path / 'killed', 'step 3', reference)
    # Both runs write into one file where they begin in the same second.
    log = ''.join(path.read_text() for path in sorted((tmp_path / 'killed/run').glob('*/*.log')))
    killed, resumed = log.split('resumed epoch: 0, iter: 2')
    assert 'Saving checkpoint at 2 iterations' in killed and 'are back' not in killed
    assert 'Saving checkpoint at 4 iterations' not in killed
    assert 'accumulation that was under way are back' in resumed


def trials():
    """Ten kills at random: by a step, while a file is written or named, in an evaluation, by the clock."""
    draw = random.Random(20230921)
    stages = [f'step {draw.randrange(1, STEPS)}' for _ in range(4)]
    stages += [f'writing {draw.randrange(1, 4)}' for _ in range(2)] + [f'naming {draw.randrange(1, 4)}']
    stages += [f'evaluation {draw.randrange(1, 3)}', *(f'seconds {draw.uniform(0, 1.5):.2f}' for _ in range(2))]
    draw.shuffle(stages)
    makes = (within_epochs, with_workers, self_critical)
    return [(makes[i % 3], stage) for i, stage in enumerate(stages)]


@pytest.fixture(scope='module')
def references(scenes, tmp_path_factory):
    """Final states of the runs that nobody disturbs."""
    makes = (within_epochs, with_workers, self_critical)
    return {make: run_whole(make, scenes, tmp_path_factory.mktemp(make.__name__)) for make in makes}


@pytest.mark.slow
@pytest.mark.parametrize(('make', 'kill_at'), trials(), ids=lambda value: getattr(value, '__name__', value))
def test_ten_kills_at_random_change_nothing(references, scenes, tmp_path, make, kill_at):
    kill_and_resume(make, scenes, tmp_path / 'killed', kill_at, references[make])


@pytest.mark.slow
@pytest.mark.parametrize('name', ['dwa', 'gradnorm', 'alternate'])
def test_balance_between_tasks_is_resumed(scenes, tmp_path, name):
    """Also two optimizers in turn, where the gradient that captions leave in the trunk waits for the next step."""

    def make(cfg):
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint.update(by_epoch=False, interval=2)
        return balance(cfg, name)

    reference = run_whole(make, scenes, tmp_path / 'whole')
    kill_and_resume(make, scenes, tmp_path / 'killed', 'step 3', reference)
    assert bool(reference['processes'][0]['gradients']) == (name == 'alternate')


@pytest.mark.slow
def test_one_of_two_processes_is_killed(scenes, tmp_path):
    def make(cfg):
        cfg.train_dataloader.batch_size = 2  # three steps an epoch
        return within_epochs(cfg)

    reference = run_whole(make, scenes, tmp_path / 'whole', processes=2)
    kill_and_resume(make, scenes, tmp_path / 'killed', 'step 5', reference, processes=2)
    assert len(reference['processes']) == 2
