import pytest
import torch

from mmyolor_mtl.models.losses.value_and_gradient import with_gradient


def test_gradients_are_scaled_and_take_the_inputs_precision():
    x = torch.tensor([1.0, 2.0]).bfloat16().requires_grad_()
    y = torch.tensor(3.0, requires_grad=True)
    value = with_gradient(torch.tensor(5.0), (x, y), (torch.tensor([1.0, -1.0]), torch.tensor(4.0)))
    assert float(value.detach()) == 5
    (2 * value).backward()
    assert x.grad.dtype == torch.bfloat16 and x.grad.tolist() == [2, -2] and float(y.grad) == 8


def test_backward_may_run_twice_and_not_be_differentiated():
    x = torch.ones(1, requires_grad=True)
    value = with_gradient(torch.tensor(1.0), (x,), (torch.tensor([3.0]),))
    assert torch.autograd.grad(value, x, retain_graph=True) == torch.autograd.grad(value, x, retain_graph=True)
    (grad,) = torch.autograd.grad(value * x, x, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()
