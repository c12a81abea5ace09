"""How far the gradients of the tasks agree, watched while training."""

import copy
import itertools
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn

from mmyolor_mtl.engine.wrapping import bare_model
from mmyolor_mtl.registry import HOOKS
from mmyolor_mtl.utils.module_patterns import matching_modules
from mmyolor_mtl.utils.task_losses import sum_by_task


@HOOKS.register_module()
class GradConflictHook(Hook):
    """Logs cosine similarity and norm ratio of every pair of task gradients, layer by layer.

    A cosine below 0 means that a step for the one task undoes some of the other's. Figures go to the visualizer as
    ``conflict/LAYER/cosine/det-sem`` and ``conflict/LAYER/norm_ratio/det-sem`` (norm of the first divided by that of
    the second), and as a line of JSON, with the norms, to a file. A task without a label in the batch is left out; a
    layer that fewer than two tasks reach has no figures.

    Training is not disturbed: the hook works on a copy of the batch, touches no ``.grad``, and puts random states and
    buffers (batch statistics) back. It costs a forward pass of each view and a backward pass of each task. With several
    processes the gradients are those of the whole batch.

    Args:
        layers (Sequence[str]): Names of modules, or patterns with ``*`` and ``?``; the parameters of all modules that
            match one pattern are taken together, under its name.
        interval (int): Iterations from one look to the next; the first is at iteration 0.
        out_file (str): Name of the file in the work folder. A run that resumes goes on with it; where an iteration is
            repeated its later line counts.

    Raises:
        ValueError: ``interval`` is below 1, ``layers`` is empty or a pattern is the name of no module.
    """

    # After hooks that prepare the model for an iteration.
    priority = 'VERY_LOW'

    def __init__(self, layers: Sequence[str], interval: int = 100, out_file: str = 'grad_conflict.jsonl') -> None:
        if isinstance(layers, str) or not layers or interval < 1:
            raise ValueError(f'layers={layers!r} must be a list of names and interval={interval} at least 1')
        self.layers = list(layers)
        self.interval = interval
        self.out_file = out_file

    def before_run(self, runner: Runner) -> None:
        """Check the names, before anything is trained."""
        matching_modules(bare_model(runner), self.layers)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Look at the gradients of this batch, if it is time."""
        if runner.iter % self.interval:
            return
        model = bare_model(runner)
        layers = {
            pattern: list({p: None for m in matching_modules(model, [pattern]).values() for p in m.parameters()})
            for pattern in self.layers
        }
        with _undisturbed(model):
            gradients = _task_gradients(runner, model, copy.deepcopy(data_batch), layers)
        figures = {name: compare({task: found[name] for task, found in gradients.items()}) for name in layers}
        if is_main_process():
            self._report(runner, {name: found for name, found in figures.items() if found['cosine']})

    def _report(self, runner: Runner, figures: dict[str, dict[str, dict[str, float]]]) -> None:
        scalars = {
            f'conflict/{layer}/{kind}/{pair}': value
            for layer, found in figures.items()
            for kind in ('cosine', 'norm_ratio')
            for pair, value in found[kind].items()
        }
        if scalars:
            runner.visualizer.add_scalars(scalars, step=runner.iter)
        line = json.dumps({'iter': runner.iter, 'epoch': runner.epoch, 'layers': figures}) + '\n'
        path = Path(runner.work_dir) / self.out_file
        with path.open('a', encoding='utf-8') as file:
            file.write(line)


def compare(gradients: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """Norms, cosines and norm ratios of gradients of the same parameters.

    Args:
        gradients: Flat gradient by task; those of zeros or with numbers that are not finite are left out.

    Returns:
        ``norm`` by task; ``cosine`` (-1..1) and ``norm_ratio`` (above 0) by pair, such as 'det-sem'.

    Examples:
        >>> compare({'det': torch.tensor([3.0, 0.0]), 'sem': torch.tensor([0.0, 1.0])})['norm_ratio']
        {'det-sem': 3.0}
    """
    norms = {task: float(gradient.norm()) for task, gradient in gradients.items()}
    norms = {task: norm for task, norm in norms.items() if 0 < norm < float('inf')}
    cosine, ratio = {}, {}
    for first, second in itertools.combinations(norms, 2):
        pair = f'{first}-{second}'
        product = float(gradients[first] @ gradients[second])
        cosine[pair] = max(-1.0, min(1.0, product / (norms[first] * norms[second])))
        ratio[pair] = norms[first] / norms[second]
    return {'norm': norms, 'cosine': cosine, 'norm_ratio': ratio}


def _task_gradients(
    runner: Runner, model: Any, data: Any, layers: dict[str, list[nn.Parameter]]
) -> dict[str, dict[str, Tensor]]:
    """Flat float64 gradients on the CPU by task and layer, mean over all processes."""
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict):
        wrapper = next(iter(wrapper.values()))
    # Without the scale, gradients would vanish in float16.
    scale = wrapper.loss_scaler.get_scale() if hasattr(wrapper, 'loss_scaler') else 1.0
    parameters = list({p: None for members in layers.values() for p in members if p.requires_grad})
    found: dict[str, dict[str, Tensor]] = {}
    with wrapper.optim_context(model):
        data = model.data_preprocessor(data, True)
    for view in model.trained_views() if parameters else ():
        with wrapper.optim_context(model):
            losses = model(**data, mode='loss', views=(view,))
        for task, loss in sum_by_task(model.parse_losses(losses)[1]).items():
            values = torch.autograd.grad(loss * scale, parameters, retain_graph=True, allow_unused=True)
            by_parameter = dict(zip(parameters, values, strict=True))
            found[task] = {name: _flat(members, by_parameter) / scale for name, members in layers.items()}
    return found


def _flat(parameters: list[nn.Parameter], gradients: dict[nn.Parameter, Tensor | None]) -> Tensor:
    pieces = []
    for parameter in parameters:
        gradient = gradients.get(parameter)
        pieces.append((torch.zeros_like(parameter) if gradient is None else gradient).flatten().float())
    flat = torch.cat(pieces)
    all_reduce(flat, op='mean')
    return flat.cpu().double()


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """Put random states and buffers back as they were."""
    states = random.getstate(), np.random.get_state()
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
