"""Combinations of several gradients, computed from their inner products alone.

All that PCGrad and CAGrad need of K gradients is the K x K matrix of their inner products, so that the gradients, each
as large as the network, are read once to make it and once to be combined.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def project_conflicts(products: Tensor, orders: Sequence[Sequence[int]]) -> Tensor:
    """PCGrad (Yu et al. 2020, algorithm 1).

    Args:
        products: (K, K) inner products of the gradients.
        orders: For each gradient, the order in which the others are compared with it.

    Returns:
        (K,) float64 factors of the gradients in the sum of the projected ones; ones where a product is not finite.

    Examples:
        >>> project_conflicts(torch.tensor([[1.0, -1.0], [-1.0, 2.0]]), [[0, 1], [0, 1]])
        tensor([2.0000, 1.5000], dtype=torch.float64)
    """
    products = products.double()
    if not bool(products.isfinite().all()):
        return torch.ones(len(products), dtype=torch.float64)
    factors = torch.eye(len(products), dtype=torch.float64)
    for i, order in enumerate(orders):
        for j in order:
            against = factors[i] @ products[:, j]
            if j != i and against < 0:
                factors[i, j] -= against / products[j, j]
    return factors.sum(dim=0)


def conflict_averse(products: Tensor, c: float) -> Tensor:
    """CAGrad (Liu et al. 2021, algorithm 1 and equation 4), times K.

    With the mean gradient g and G the gradients, w on the simplex minimises ``g . Gw + c |g| |Gw|``, and the step is
    ``g + c |g| Gw / |Gw|``.

    Args:
        products: (K, K) inner products of the gradients.
        c: 0 <= c < 1.

    Returns:
        (K,) float64 factors of the gradients; ones where a product is not finite. Gradients of zeros are no tasks.
    """
    products = products.double()
    factors = torch.ones(len(products), dtype=torch.float64)
    active = products.diagonal() > 0
    if not bool(products.isfinite().all()) or c == 0 or int(active.sum()) < 2:
        return factors
    matrix = products[active][:, active].numpy()
    count = len(matrix)
    matrix = matrix / (np.trace(matrix) / count)  # the factors do not depend on the size of the gradients
    mean = np.full(count, 1 / count)
    radius = c * np.sqrt(max(mean @ matrix @ mean, 0.0))
    weights = _minimise(matrix, matrix @ mean, radius)
    length = np.sqrt(max(weights @ matrix @ weights, 0.0))
    if length > 1e-12:
        factors[active] += torch.from_numpy(count * radius / length * weights)
    return factors


def _minimise(matrix: np.ndarray, linear: np.ndarray, radius: float) -> np.ndarray:
    """Weights w on the simplex with the least ``linear . w + radius * sqrt(w matrix w)``, which is convex."""
    from scipy.optimize import minimize  # comes with mmdet

    def value(w: np.ndarray) -> tuple[float, np.ndarray]:
        length = np.sqrt(max(w @ matrix @ w, 0.0) + 1e-12)
        return linear @ w + radius * length, linear + radius * (matrix @ w) / length

    count = len(matrix)
    found = minimize(
        value,
        np.full(count, 1 / count),
        jac=True,
        method='SLSQP',
        bounds=[(0, 1)] * count,
        constraints={'type': 'eq', 'fun': lambda w: w.sum() - 1, 'jac': lambda w: np.ones(count)},
        options={'ftol': 1e-12, 'maxiter': 200},
    )
    return np.clip(found.x, 0, None) / np.clip(found.x, 0, None).sum()
