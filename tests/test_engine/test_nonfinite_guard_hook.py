"""Steps that are not finite: skipped, told about, and in the end stopped, in one process and in two."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from mmyolor_mtl.engine import NonFiniteGuardHook
from mmyolor_mtl.engine.hooks.nonfinite_guard_hook import nonfinite_layers
from mmyolor_mtl.registry import HOOKS

from .toy import in_two_processes, log_of, toy_config, train, train_in_group


@HOOKS.register_module()
class PoisonHook(Hook):
    """Makes losses, gradients or pictures of some steps NaN, in one of the processes, and writes down the weights."""

    priority = 'VERY_HIGH'

    def __init__(self, what, steps, rank=0):
        self.what, self.steps, self.rank, self.states = what, steps, rank, []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        model = getattr(runner.model, 'module', runner.model)
        model.poison = self.what if runner.iter in self.steps and runner.rank == self.rank else ''
        self.states.append({name: value.clone() for name, value in model.state_dict().items()})

    def after_train(self, runner):
        torch.save(self.states, f'{runner.work_dir}/states_{runner.rank}.pt')


def poisoned(work_dir, what, steps, **guard):
    hooks = [
        dict(type='mmyolor_mtl.PoisonHook', what=what, steps=list(steps)),
        dict(type='mmyolor_mtl.NonFiniteGuardHook', **guard),
    ]
    return toy_config(work_dir, hooks=hooks)


def states_of(work_dir, rank=0):
    return torch.load(work_dir / f'states_{rank}.pt')


def are_equal(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize('what', ['loss', 'gradient', 'inputs'])
def test_bad_step_leaves_weights_and_statistics_alone(tmp_path, what):
    runner = train(poisoned(tmp_path, what, [3]))
    assert runner.iter == 8
    states = states_of(tmp_path)
    assert are_equal(states[3], states[4]) and not are_equal(states[2], states[3])
    assert not are_equal(states[4], states[5])
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    log = log_of(tmp_path)
    assert log.count('Not finite in epoch 1, iteration 4') == 1 and '1 in a row, 10 are allowed' in log
    bad = log[log.index('Not finite in') :].split('The step is skipped')[0]
    terms = {'loss': ['loss_sem', 'loss'], 'gradient': [], 'inputs': ['loss_det', 'loss_sem', 'loss']}[what]
    assert [name for name in ('loss_det', 'loss_sem', 'loss') if f' {name} = ' in bad] == terms
    first = 'heads.sem, trunk.1' if what != 'inputs' else 'heads.sem, heads.det, trunk.1'
    assert f'nearest to the loss in each part: {first}\n' in bad
    assert bad.count('.jpg (id ') == 2


def test_too_many_in_a_row_stop(tmp_path):
    with pytest.raises(FloatingPointError, match=r'(?s)iteration 4:.*loss_sem = inf.*Stopped after 3.*max_skips=2'):
        train(poisoned(tmp_path, 'loss', [1, 2, 3, 4], max_skips=2))
    assert not list(tmp_path.glob('*.pth'))


def test_the_first_stops(tmp_path):
    with pytest.raises(FloatingPointError, match='Stopped after 1 '):
        train(poisoned(tmp_path, 'gradient', [2], max_skips=0))


def test_steps_between_are_not_in_a_row(tmp_path):
    assert train(poisoned(tmp_path, 'gradient', [0, 1, 3, 4, 6], max_skips=2)).iter == 8


def test_accumulated_gradients_go_with_the_bad_one(tmp_path):
    cfg = poisoned(tmp_path, 'gradient', [1, 3, 5], max_skips=2)
    cfg.optim_wrapper.accumulative_counts = 2
    with pytest.raises(FloatingPointError, match='Stopped after 3 '):
        train(cfg)  # good batches between do not count: no step was made


@OPTIM_WRAPPERS.register_module()
class ScaledWrapper(OptimWrapper):
    """A gradient scaler on the CPU; MMEngine's wrapper wants a GPU."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=64.0)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer)
        self.loss_scaler.update()


@pytest.mark.parametrize(('what', 'is_reported'), [('gradient', False), ('loss', True)])
def test_a_scaler_may_find_infinite_gradients(tmp_path, what, is_reported):
    cfg = poisoned(tmp_path, what, [2])
    cfg.optim_wrapper.type = 'ScaledWrapper'
    runner = train(cfg)
    assert runner.optim_wrapper.loss_scaler.get_scale() == 32.0  # it noticed by itself
    assert ('Not finite' in log_of(tmp_path)) == is_reported
    states = states_of(tmp_path)
    names = [name for name, _ in runner.model.named_parameters()]
    assert all(torch.equal(states[2][name], states[3][name]) for name in names)


def train_with_one_poisoned(rank, work_dir):
    cfg = poisoned(work_dir, 'loss', [1])
    cfg.custom_hooks[0].rank = 1
    train_in_group(cfg)


def test_two_processes_skip_alike(tmp_path):
    assert in_two_processes(train_with_one_poisoned, tmp_path) == [0, 0]
    first, second = states_of(tmp_path, 0), states_of(tmp_path, 1)
    assert len(first) == len(second) == 4
    assert are_equal(first[1], first[2]) and are_equal(second[1], second[2])
    weights = [name for name in first[3] if 'running' not in name]
    assert all(torch.equal(first[3][name], second[3][name]) for name in weights)
    (log,) = (path.read_text() for path in tmp_path.glob('*/*.log') if 'Not finite' in path.read_text())
    assert log[log.index('Not finite') :].split('The step')[0].count('.jpg (id ') == 4  # the images of both


def test_of_several_optimizers_only_the_bad_one_is_held_back():
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    wrappers = {str(i): OptimWrapper(torch.optim.SGD(model[i].parameters(), lr=1.0)) for i in range(2)}
    hook = NonFiniteGuardHook()
    hook.before_train(SimpleNamespace(model=model, optim_wrapper=OptimWrapperDict(**wrappers)))
    before = [model[i].bias.item() for i in range(2)]
    model[0].bias.grad, model[1].bias.grad = torch.tensor([float('nan')]), torch.ones(1)
    for wrapper in wrappers.values():
        wrapper.step()
    assert [model[i].bias.item() for i in range(2)] == [before[0], before[1] - 1.0]


def test_layers_are_named_in_the_order_of_the_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    for number, value in ((0, float('inf')), (1, 1.0), (2, float('nan'))):
        model[number].bias.grad = torch.tensor([0.0, value])
    assert nonfinite_layers(model) == ['0', '2']


def test_negative_limit():
    with pytest.raises(ValueError, match='max_skips=-1'):
        NonFiniteGuardHook(max_skips=-1)
