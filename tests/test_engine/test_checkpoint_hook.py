"""Checkpoints on real files: damaged, missing, unwritable, the best."""

import errno
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.fileio import LocalBackend

from mmyolor_mtl.engine import MTLCheckpointHook
from mmyolor_mtl.engine.runner.checkpoint_files import find_last_whole, is_whole
from mmyolor_mtl.utils import register_safe_globals

from .toy import ToyMetric, in_two_processes, log_of, toy_config, train, train_in_group


def names(folder, pattern='*.pth*'):
    return sorted(path.name for path in folder.glob(pattern))


def weights(runner):
    return torch.cat([p.detach().flatten() for p in runner.model.parameters()])


def resume(work_dir, max_epochs=3, **kwargs):
    cfg = toy_config(work_dir, max_epochs=max_epochs, **kwargs)
    cfg.resume = True
    cfg.experiment_name += '_resumed'
    return train(cfg)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-50])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[content.find(b'state_dict') + 100] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize('damage', [truncate, flip_a_bit, Path.unlink, lambda path: path.write_bytes(b'')])
def test_damaged_last_one_falls_back_to_the_one_before(tmp_path, damage):
    whole = train(toy_config(tmp_path / 'whole', max_epochs=3))
    train(toy_config(tmp_path / 'run', max_epochs=2))
    damage(tmp_path / 'run/epoch_2.pth')
    runner = resume(tmp_path / 'run')
    assert torch.equal(weights(runner), weights(whole))
    log = log_of(tmp_path / 'run')
    assert f'{tmp_path}/run/epoch_2.pth is missing, truncated or damaged' in log
    assert f'goes on from {tmp_path}/run/epoch_1.pth' in log and 'resumed epoch: 1, iter: 4' in log


def test_no_damage_is_fatal_or_overlooked(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    content = {'state_dict': {'a': torch.arange(50.0)}, 'meta': {'epoch': 1}}
    torch.save(content, path)
    whole = path.read_bytes()
    assert is_whole(path)

    @given(st.integers(0, len(whole) - 1), st.integers(1, 255), st.booleans())
    def check(position, bits, cut):
        changed = whole[position] ^ bits
        path.write_bytes(whole[:position] if cut else whole[:position] + bytes([changed]) + whole[position + 1 :])
        if is_whole(path):  # what is not read may be damaged, such as times in the headers
            loaded = torch.load(path, weights_only=True)
            assert not cut and torch.equal(loaded['state_dict']['a'], content['state_dict']['a'])

    check()


def test_objects_that_weights_only_forbids_are_no_damage(tmp_path):
    torch.save({'state_dict': {}, 'mine': Disk}, tmp_path / 'epoch_1.pth')
    assert is_whole(tmp_path / 'epoch_1.pth')


def test_checkpoints_of_an_earlier_run_in_the_folder_are_not_taken(tmp_path):
    for name in ('epoch_1.pth', 'epoch_2.pth', 'epoch_10.pth', 'epoch_x.pth', 'best_a_epoch_2.pth'):
        torch.save({}, tmp_path / name)
    (tmp_path / 'last_checkpoint').write_text('/moved/since/epoch_2.pth')
    assert find_last_whole(tmp_path, tmp_path, 'epoch_') == (tmp_path / 'epoch_2.pth', [])
    truncate(tmp_path / 'epoch_2.pth')
    assert find_last_whole(tmp_path, tmp_path, 'epoch_') == (tmp_path / 'epoch_1.pth', [tmp_path / 'epoch_2.pth'])
    (tmp_path / 'last_checkpoint').unlink()
    assert find_last_whole(tmp_path, tmp_path, 'epoch_') == (tmp_path / 'epoch_10.pth', [])


def test_every_one_damaged(tmp_path):
    train(toy_config(tmp_path, max_epochs=2))
    for path in tmp_path.glob('*.pth'):
        truncate(path)
    with pytest.raises(ValueError, match='no checkpoint to resume from is whole: .*epoch_2.pth, .*epoch_1.pth'):
        resume(tmp_path)


def test_damaged_one_that_was_asked_for(tmp_path):
    train(toy_config(tmp_path / 'run', max_epochs=1))
    truncate(tmp_path / 'run/epoch_1.pth')
    cfg = toy_config(tmp_path / 'next')
    cfg.update(resume=True, load_from=str(tmp_path / 'run/epoch_1.pth'))
    with pytest.raises(ValueError, match='epoch_1.pth is no complete checkpoint'):
        train(cfg)


def test_resuming_where_nothing_is_begins(tmp_path):
    assert resume(tmp_path, max_epochs=1).iter == 4


def test_moved_work_folder_and_other_out_dir(tmp_path):
    train(toy_config(tmp_path / 'here/run', max_epochs=1, out_dir=str(tmp_path / 'here')))
    (tmp_path / 'here').rename(tmp_path / 'there')
    runner = resume(tmp_path / 'there/run', out_dir=str(tmp_path / 'there'))
    assert 'resumed epoch: 1' in log_of(tmp_path / 'there/run') and runner.iter == 12


def test_drafts_of_a_killed_run_go_and_other_files_stay(tmp_path):
    train(toy_config(tmp_path, max_epochs=1))
    for name in ('epoch_2.pth.123.tmp', 'best_a.pth.77.tmp', 'mine.tmp', 'mine.pth.old.tmp'):
        (tmp_path / name).touch()
    resume(tmp_path)
    assert names(tmp_path, '*.tmp') == ['mine.pth.old.tmp', 'mine.tmp']


class Disk:
    """The local files; the writes listed by number find the disk full half-way."""

    def __init__(self, monkeypatch, full):
        self.full, self.count, self.seen = full, 0, []
        monkeypatch.setattr(LocalBackend, 'put', self.put)

    def put(self, content, path):
        path = Path(path)
        self.count += 1
        self.seen.append(names(path.parent))
        with open(path, 'wb') as file:
            file.write(content[: len(content) // 2])
            if self.count in self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            file.write(content[len(content) // 2 :])


def test_disk_full_is_survived(tmp_path, monkeypatch):
    Disk(monkeypatch, full={2, 4})
    runner = train(toy_config(tmp_path, max_epochs=4, max_keep_ckpts=2))
    assert runner.iter == 16
    assert names(tmp_path) == ['epoch_1.pth', 'epoch_3.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_3.pth')
    log = log_of(tmp_path)
    assert log.count('could not be saved: [Errno 28] No space left on device') == 2 and 'epoch_4.pth could' in log


def train_with_full_disk(rank, work_dir):
    ToyMetric.figures = [{'a/mAP': 0.3}, {'a/mAP': 0.1}, {'a/mAP': 0.2}]
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, full={4})  # epoch 2, before an evaluation that is no better
        train_in_group(toy_config(work_dir, max_epochs=3, evaluate=True, save_best='auto'))


def test_two_processes_go_on_together_when_the_disk_is_full(tmp_path):
    assert in_two_processes(train_with_full_disk, tmp_path) == [0, 0]
    assert 'could not be saved' in log_of(tmp_path)
    last = torch.load(tmp_path / 'epoch_3.pth', weights_only=False)
    assert len(last['processes']) == 2 and last['message_hub']['runtime_info']['best_score'] == 0.3


def test_last_good_one_is_there_until_the_next_is_complete(tmp_path, monkeypatch):
    disk = Disk(monkeypatch, full=())
    train(toy_config(tmp_path, max_epochs=3, max_keep_ckpts=1))
    assert [[name for name in seen if name.endswith('.pth')] for seen in disk.seen] == [
        [],
        ['epoch_1.pth'],
        ['epoch_2.pth'],
    ]
    assert names(tmp_path) == ['epoch_3.pth']


def test_other_errors_are_not_swallowed(tmp_path, monkeypatch):
    monkeypatch.setattr(LocalBackend, 'put', lambda self, content, path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(toy_config(tmp_path))
    assert not names(tmp_path)


FIGURES = [{'a/mAP': 0.1, 'b/PQ': 0.9}, {'a/mAP': 0.3, 'b/PQ': 0.1}, {'a/mAP': 0.2, 'b/PQ': 0.8}]


def test_best_of_each_metric_and_of_a_weighted_sum(tmp_path, monkeypatch):
    monkeypatch.setattr(ToyMetric, 'figures', [dict(figures) for figures in FIGURES])
    chosen = dict(save_best=['a/mAP', 'b/PQ', 'weighted_sum'], best_weights={'a/mAP': 3, 'b/PQ': 1})
    runner = train(toy_config(tmp_path, max_epochs=3, evaluate=True, max_keep_ckpts=1, **chosen))
    # The sums: 1.2, 1.0, 1.4.
    assert names(tmp_path, 'best*') == [
        'best_a_mAP_epoch_2.pth',
        'best_b_PQ_epoch_1.pth',
        'best_weighted_sum_epoch_3.pth',
    ]
    assert runner.message_hub.get_info('best_score_weighted_sum') == pytest.approx(1.4)
    register_safe_globals()
    last = torch.load(tmp_path / 'epoch_3.pth', weights_only=True)
    assert last['message_hub']['runtime_info']['best_score_weighted_sum'] == pytest.approx(1.4)
    assert {'optimizer', 'param_schedulers', 'processes', 'train_loop'} <= set(last)
    best = torch.load(tmp_path / 'best_a_mAP_epoch_2.pth', weights_only=True)
    assert not {'optimizer', 'param_schedulers', 'processes', 'train_loop'} & set(best)


def test_best_scores_outlive_a_resume_and_old_files_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(ToyMetric, 'figures', [{'a/mAP': score} for score in (0.5, 0.2, 0.7, 0.6)])
    train(toy_config(tmp_path, max_epochs=1, evaluate=True, save_best='auto'))
    assert names(tmp_path, 'best*') == ['best_a_mAP_epoch_1.pth']
    Disk(monkeypatch, full={4})  # 1 and 2: epoch 2, before and after its evaluation; 3: epoch 3; 4: its best
    runner = resume(tmp_path, max_epochs=4, evaluate=True, save_best='auto')
    assert names(tmp_path, 'best*') == ['best_a_mAP_epoch_4.pth']  # 0.6 > 0.5, as 0.7 could not be saved
    assert runner.message_hub.get_info('best_score') == 0.6


def test_evaluation_that_was_cut_off_is_run_again(tmp_path, monkeypatch):
    def break_off(self, results):
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(ToyMetric, 'compute_metrics', break_off)
        with pytest.raises(InterruptedError):
            train(toy_config(tmp_path, max_epochs=1, evaluate=True, save_best='auto'))
    monkeypatch.setattr(ToyMetric, 'figures', [{'a/mAP': 0.5}])
    assert resume(tmp_path, max_epochs=1, evaluate=True, save_best='auto').iter == 4
    assert names(tmp_path, 'best*') == ['best_a_mAP_epoch_1.pth'] and not ToyMetric.figures
    resume(tmp_path, max_epochs=1, evaluate=True, save_best='auto')  # nothing is left to do


def test_missing_metric_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(ToyMetric, 'figures', [{'a/mAP': 0.5}])
    with pytest.raises(KeyError, match=r"best_weights names \['b/PQ'\].*it gives \['a/mAP'\]"):
        train(toy_config(tmp_path, evaluate=True, save_best='weighted_sum', best_weights={'a/mAP': 1, 'b/PQ': 1}))


@pytest.mark.parametrize('arguments', [dict(best_weights={'a': 1}), dict(save_best=['a', 'weighted_sum'])])
def test_weights_and_their_sum_need_each_other(arguments):
    with pytest.raises(ValueError, match='each needs the other'):
        MTLCheckpointHook(**arguments)


@pytest.mark.parametrize(('keep', 'left'), [(2, [4, 5]), (3, [3, 4, 5]), (9, [1, 2, 3, 4, 5])])
def test_as_many_are_kept_as_wanted(tmp_path, keep, left):
    train(toy_config(tmp_path, max_epochs=3, max_keep_ckpts=keep))
    assert names(tmp_path) == [f'epoch_{number}.pth' for number in range(1, 4)][-keep:]
    resume(tmp_path, max_epochs=5, max_keep_ckpts=keep)
    assert names(tmp_path) == [f'epoch_{number}.pth' for number in left]
