"""Weights of losses against closed forms: two tasks whose losses are known."""

import math

import pytest
import torch
from torch import nn

from mmyolor_mtl.models.balancers import DynamicWeightAverage, GradNorm, UncertaintyWeighting

TASKS = ('det', 'cap')


def losses_of(det, cap):
    return {'loss_det_cls': torch.tensor(det), 'loss_cap_ce': torch.tensor(cap)}


class TestUncertainty:
    def test_optimum_is_the_log_of_the_loss(self):
        balancer = UncertaintyWeighting(tasks=TASKS)
        optimizer = torch.optim.SGD(balancer.parameters(), lr=0.5)
        for _ in range(300):
            optimizer.zero_grad()
            weighted = balancer.weigh(losses_of(8.0, 0.25), nn.Module())
            sum(value for name, value in weighted.items() if name.startswith('loss')).backward()
            optimizer.step()
        assert balancer.log_variances.tolist() == pytest.approx([math.log(8), math.log(0.25)], abs=1e-4)
        assert weighted['loss_det_cls'].item() == pytest.approx(1.0, abs=1e-4)
        assert float(weighted['weight/cap']) == pytest.approx(4.0, abs=1e-3)

    def test_starts_as_plain_training(self):
        balancer = UncertaintyWeighting(tasks=TASKS)
        weighted = balancer.weigh(losses_of(8.0, 0.25), nn.Module())
        assert sum(float(v) for name, v in weighted.items() if name.startswith('loss')) == 8.25

    def test_a_task_without_labels_does_not_move(self):
        balancer = UncertaintyWeighting(tasks=TASKS)
        weighted = balancer.weigh(losses_of(8.0, 0.0), nn.Module())
        sum(value for name, value in weighted.items() if name.startswith('loss')).backward()
        assert balancer.log_variances.grad.tolist() == [-7.0, 0.0]


class TestDynamicWeightAverage:
    def test_weights_are_those_of_the_paper(self):
        balancer = DynamicWeightAverage(tasks=TASKS, interval=2, temperature=2.0)
        for det, cap in ((4.0, 1.0), (2.0, 1.0), (2.0, 0.5), (1.0, 0.5)):
            assert balancer.weights.tolist() == [1.0, 1.0]
            balancer.record(torch.tensor([det, cap], dtype=torch.float64))
        # Means of the intervals: 3 and 1, then 1.5 and 0.5: both halved, so both weigh the same.
        assert balancer.weights.tolist() == pytest.approx([1.0, 1.0])
        for det, cap in ((1.5, 0.25), (1.5, 0.25)):
            balancer.record(torch.tensor([det, cap], dtype=torch.float64))
        first, second = math.exp(1.0 / 2), math.exp(0.5 / 2)
        assert balancer.weights.tolist() == pytest.approx([2 * first / (first + second), 2 * second / (first + second)])

    def test_iterations_without_labels_do_not_count(self):
        balancer = DynamicWeightAverage(tasks=TASKS, interval=2)
        for cap in (1.0, 0.0, 0.0, 0.0, 3.0, 0.0):
            balancer.record(torch.tensor([2.0, cap], dtype=torch.float64))
        assert balancer.last.tolist() == [2.0, 3.0]
        assert balancer.weights.tolist() == pytest.approx([1.0, 1.0])  # no captions in the second interval

    @pytest.mark.parametrize('settings', [dict(interval=0), dict(interval=1, temperature=0.0)])
    def test_settings_are_checked(self, settings):
        with pytest.raises(ValueError, match='interval=.* temperature='):
            DynamicWeightAverage(tasks=TASKS, **settings)


class TestGradNorm:
    @pytest.mark.parametrize('alpha', [0.0, 1.5])
    def test_rests_where_the_gradients_have_their_sizes(self, alpha):
        """Norms 6 and 2; the first loss has halved, the other is as it was: w is proportional to r^alpha / norm."""
        balancer = GradNorm(tasks=TASKS, layer='any', alpha=alpha, lr=0.002)
        norms = torch.tensor([6.0, 2.0], dtype=torch.float64)
        balancer.first_losses.copy_(torch.tensor([4.0, 1.0]))
        for _ in range(1500):
            balancer.learn(torch.tensor([2.0, 1.0], dtype=torch.float64), norms)
        progress = torch.tensor([0.5, 1.0]) / 0.75
        expected = progress**alpha / norms
        expected = 2 * expected / expected.sum()
        assert balancer.weights.tolist() == pytest.approx(expected.tolist(), abs=0.02)
        assert float(balancer.weights.sum()) == pytest.approx(2.0)

    def test_measures_the_gradients_of_two_quadratics(self):
        """Losses |x|^2 / 2 and 3 |x - 2|^2 / 2 of a shared x = 1: gradients 1 and -3."""
        trunk = nn.Module()
        trunk.shared = nn.Linear(1, 1, bias=False)
        nn.init.ones_(trunk.shared.weight)
        balancer = GradNorm(tasks=TASKS, layer='shared')
        balancer._step = {}
        x = trunk.shared.weight
        balancer.weigh({'loss_det_cls': (x**2).sum() / 2, 'loss_cap_ce': 3 * ((x - 2) ** 2).sum() / 2}, trunk)
        assert {task: (float(loss), float(norm)) for task, (loss, norm) in balancer._step.items()} == {
            'det': (0.5, 1.0),
            'cap': (1.5, 3.0),
        }

    def test_a_task_without_labels_keeps_its_weight(self):
        balancer = GradNorm(tasks=('det', 'sem', 'cap'), layer='any', lr=0.1)
        balancer.learn(torch.tensor([1.0, 2.0, 0.0]).double(), torch.tensor([1.0, 5.0, 0.0]).double())
        assert balancer.weights[2] == 1.0 and balancer.first_losses.tolist() == [1.0, 2.0, 0.0]
        assert float(balancer.weights.sum()) == pytest.approx(3.0) and balancer.weights[0] > 1 > balancer.weights[1]

    def test_settings_are_checked(self):
        with pytest.raises(ValueError, match='alpha=-1'):
            GradNorm(tasks=TASKS, layer='any', alpha=-1)
        balancer = GradNorm(tasks=TASKS, layer='backbone.stage9')
        balancer._step = {}
        model = nn.Sequential()
        model.add_module('backbone', nn.Sequential())
        model.backbone.add_module('stage4', nn.Linear(1, 1))
        with pytest.raises(ValueError, match='no module is called backbone.stage9; names like it: backbone.stage4'):
            balancer.weigh(losses_of(1.0, 1.0), model)
