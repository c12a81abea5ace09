"""PCGrad and CAGrad against closed forms, the algorithms as published and brute force."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmyolor_mtl.models.balancers import conflict_averse, project_conflicts

SEEDS = st.integers(0, 10_000)


def gradients(count, size, seed):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quadratic_gradients(x):
    """Of |x - a|^2 / 2 and 10 |x - b|^2 / 2, at x: two tasks that want to go to a = (1, 0) and b = (-1, 0.5)."""
    return torch.stack([x - torch.tensor([1.0, 0.0]), 10 * (x - torch.tensor([-1.0, 0.5]))]).double()


def test_pcgrad_projects_two_quadratics_onto_each_others_normal_planes():
    g = quadratic_gradients(torch.tensor([0.0, 0.0]))
    dot = g[0] @ g[1]
    assert dot < 0
    first = g[0] - dot / (g[1] @ g[1]) * g[1]
    second = g[1] - dot / (g[0] @ g[0]) * g[0]
    found = project_conflicts(g @ g.T, [[0, 1], [1, 0]]) @ g
    assert torch.allclose(found, first + second, rtol=1e-12)
    assert (first @ g[1]).abs() < 1e-12 and found @ g[0] >= 0 and found @ g[1] >= 0


def test_pcgrad_leaves_gradients_that_agree_alone():
    g = quadratic_gradients(torch.tensor([5.0, 0.0]))
    assert g[0] @ g[1] > 0
    assert project_conflicts(g @ g.T, [[0, 1], [0, 1]]).tolist() == [1.0, 1.0]


def published_pcgrad(g, orders):
    """Algorithm 1 of the paper on the vectors themselves."""
    projected = g.clone()
    for i, order in enumerate(orders):
        for j in order:
            dot = projected[i] @ g[j]
            if i != j and dot < 0:
                projected[i] -= dot / (g[j] @ g[j]) * g[j]
    return projected.sum(dim=0)


@given(seed=SEEDS, count=st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_pcgrad_from_inner_products_is_that_of_the_vectors(seed, count):
    g = gradients(count, 6, seed)
    orders = [torch.randperm(count, generator=torch.Generator().manual_seed(seed + i)).tolist() for i in range(count)]
    found = project_conflicts(g @ g.T, orders) @ g
    assert torch.allclose(found, published_pcgrad(g, orders), rtol=1e-9, atol=1e-9)


def worst_improvement(g, step):
    return float((g @ step).min())


@pytest.mark.parametrize('c', [0.2, 0.5, 0.9])
@pytest.mark.parametrize('seed', range(6))
def test_cagrad_finds_the_best_step_of_a_fine_grid(c, seed):
    """Two tasks in a plane: every step within the ball, 0.2 degrees and a hundredth of its radius apart."""
    g = gradients(2, 2, seed)
    mean = g.mean(dim=0)
    radius = c * mean.norm()
    found = conflict_averse(g @ g.T, c) @ g / 2
    assert (found - mean).norm() <= radius * (1 + 1e-6)
    angles = torch.arange(0, 2 * math.pi, math.pi / 900, dtype=torch.float64)
    directions = torch.stack([angles.cos(), angles.sin()], dim=1)
    lengths = torch.linspace(0, 1, 101, dtype=torch.float64)
    steps = mean + radius * (lengths[:, None, None] * directions).reshape(-1, 2)
    best = float((steps @ g.T).amin(dim=1).max())
    assert worst_improvement(g, found) >= best - 1e-9
    assert worst_improvement(g, found) <= best + 1e-2 * float(radius * g.norm())


@given(seed=SEEDS, count=st.integers(3, 4), c=st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None)
def test_no_other_step_within_the_ball_helps_the_worst_task_more(seed, count, c):
    g = gradients(count, 5, seed)
    mean = g.mean(dim=0)
    radius = c * mean.norm()
    found = conflict_averse(g @ g.T, c) @ g / count
    assert (found - mean).norm() <= radius * (1 + 1e-6)
    offsets = gradients(4000, 5, seed + 1)
    inside = torch.rand(4000, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 0.2
    steps = mean + radius * inside * offsets / offsets.norm(dim=1, keepdim=True)
    assert float((steps @ g.T).amin(dim=1).max()) <= worst_improvement(g, found) + 1e-6 * float(radius)


@given(seed=SEEDS, scale=st.floats(1e-4, 1e4))
@settings(max_examples=20, deadline=None)
def test_factors_do_not_depend_on_the_size_of_the_losses(seed, scale):
    g = gradients(3, 5, seed)
    products = g @ g.T
    for combine in (lambda p: conflict_averse(p, 0.5), lambda p: project_conflicts(p, [[0, 1, 2]] * 3)):
        assert torch.allclose(combine(products), combine(products * scale**2), rtol=1e-4, atol=1e-6)


def test_cagrad_without_room_is_the_sum_and_a_task_without_gradient_is_none():
    g = gradients(3, 5, 0)
    assert conflict_averse(g @ g.T, 0.0).tolist() == [1.0, 1.0, 1.0]
    lone = torch.cat([g, torch.zeros(1, 5, dtype=torch.float64)])
    assert torch.allclose(conflict_averse(lone @ lone.T, 0.5)[:3], conflict_averse(g @ g.T, 0.5), rtol=1e-12)


def test_gradients_that_are_not_finite_are_summed():
    products = torch.tensor([[1.0, math.inf], [math.inf, math.inf]])
    assert conflict_averse(products, 0.5).tolist() == project_conflicts(products, [[0, 1]] * 2).tolist() == [1.0, 1.0]


def test_opposite_gradients_of_one_size_cancel():
    g = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert (conflict_averse(g @ g.T, 0.5) @ g.double()).norm() < 1e-6
