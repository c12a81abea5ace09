import torch

from mmyolor_mtl.models.layers.implicit import ImplicitA, ImplicitM


def test_implicit_shift_and_scale():
    torch.manual_seed(0)
    x = torch.randn(2, 500, 3, 3)
    shift, scale = ImplicitA(500), ImplicitM(500)
    assert torch.allclose(shift(x) - x, shift.implicit.expand_as(x), atol=1e-6)
    assert torch.allclose(scale(x), x * scale.implicit)
    assert abs(shift.implicit.mean()) < 0.005 and abs(scale.implicit.mean() - 1) < 0.005
    assert 0.015 < shift.implicit.std() < 0.025 and 0.015 < scale.implicit.std() < 0.025
