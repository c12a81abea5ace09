"""How the tasks share a step: weights of their losses, combinations of their gradients, steps in turn."""

from .alternating_steps import AlternatingSteps
from .dynamic_weight_average import DynamicWeightAverage
from .grad_norm import GradNorm
from .gradient_combination import conflict_averse, project_conflicts
from .gradient_surgery import CAGrad, GradientSurgery, PCGrad
from .task_balancer import LossWeighting, StoredWeighting, TaskBalancer
from .uncertainty import UncertaintyWeighting

__all__ = [
    'AlternatingSteps',
    'CAGrad',
    'DynamicWeightAverage',
    'GradNorm',
    'GradientSurgery',
    'LossWeighting',
    'PCGrad',
    'StoredWeighting',
    'TaskBalancer',
    'UncertaintyWeighting',
    'conflict_averse',
    'project_conflicts',
]
