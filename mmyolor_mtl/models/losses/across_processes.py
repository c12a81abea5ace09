"""Losses of several processes that add up to the loss of their whole batch.

DistributedDataParallel takes the mean of the processes' gradients. A loss that each process divides by its own number
of labels would weigh a label more where there are fewer, so what losses are divided by is summed over all processes.
Every process must call these functions equally often and in the same order, also when its images carry no label.
"""

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def sum_over_processes(values: Tensor) -> Tensor:
    """Sum of a tensor over all processes, without a gradient."""
    values = values.detach()
    if get_world_size() == 1:
        return values
    total = values.clone()
    all_reduce(total)
    return total


def total_over_processes(values: Tensor) -> Tensor:
    """Sum of a tensor over all processes, whose gradient is right once the mean over the processes is taken."""
    count = get_world_size()
    if count == 1:
        return values
    own = values * count
    return own + (sum_over_processes(values) - own.detach())


def share_of_processes(count: float, like: Tensor) -> Tensor | float:
    """Factor for a mean over ``count`` own items: the mean over the processes then is that over all items.

    Args:
        count: Items of this process, 0 or more.
        like: Gives the device.
    """
    processes = get_world_size()
    if processes == 1:
        return 1.0
    total = sum_over_processes(torch.tensor(float(count), device=like.device, dtype=torch.float64))
    return (count * processes / total.clamp(min=1)).float()
